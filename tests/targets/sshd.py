"""A device for tests: OpenSSH's own server on a loopback port, with homes, keys and known hosts made for it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.helpers import free_port

PACKAGES = ("openssh-server", "libwrap0")  # of Debian and its kin; only some versions need the second


@dataclass(frozen=True)
class Server:
    """An sshd: its file, and the folder that it was unpacked into, if it was."""

    program: Path
    root: Path | None

    @property
    def environment(self) -> dict[str, str]:
        if not self.root:
            return dict(os.environ)
        folders = {str(path.parent) for path in self.root.glob("**/lib*.so*")}
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}

    @property
    def helpers(self) -> list[str]:
        """Newer servers consist of several programs; where the unpacked ones are."""
        names = {"sshd-session": "SshdSessionPath", "sshd-auth": "SshdAuthPath"}
        return [
            f"{names[path.name]} {path}"
            for path in (self.root or Path("/none")).glob("**/sshd-*")
            if path.name in names
        ]


@cache
def find_server() -> Server | None:
    """The machine's sshd, or its system's package unpacked into the user's cache; None without a network."""
    if found := shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
        return Server(Path(found), None)
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo-tests" / "sshd"
    if not (cached / "usr/sbin/sshd").exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            return None
        fresh = cached.with_name(f"sshd-{os.getpid()}")
        fresh.mkdir(parents=True)
        for package in PACKAGES:
            subprocess.run(["apt-get", "download", package], cwd=fresh, capture_output=True, timeout=120, check=False)
        for file in fresh.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, fresh], check=True)
            file.unlink()
        with suppress(OSError):  # another process was faster
            fresh.rename(cached)
        shutil.rmtree(fresh, ignore_errors=True)
    program = cached / "usr/sbin/sshd"
    return Server(program, cached) if program.exists() else None


class Wire:
    """A TCP connection's way to the device, which can be cut or go silent."""

    def __init__(self, to: int) -> None:
        self.to, self.port = to, free_port()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.silent = threading.Event()
        self.listener: socket.socket | None = None
        self.connections = 0

    def open(self) -> None:
        """Take connections, from now on."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self) -> None:
        """Take no more, and cut those that are."""
        if self.listener:
            with suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.listener = None
        self.cut()

    def cut(self) -> None:
        """Break every connection on both sides, abruptly."""
        for ends in self.pairs:
            for end in ends:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self.pairs.clear()

    def hush(self) -> None:
        """Silently stop forwarding on existing connections."""
        self.silent.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # the device is not ready yet
                near.close()
                continue
            self.connections += 1
            self.silent = silent = threading.Event()
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as both ends have it
            self.pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink, silent), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while block := source.recv(2**16):
                if not silent.is_set():
                    sink.sendall(block)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Device:
    """A machine over ssh with its own home, and the home of its client."""

    def __init__(self, folder: Path, server: Server) -> None:
        import asyncssh

        self.server = server
        self.etc, self.here, self.home = folder / "etc", folder / "here", folder / "a home"
        for place in (self.etc, self.here / ".ssh", self.home):
            place.mkdir(parents=True)
        self.port = free_port()
        self.wire = Wire(self.port)
        self.user = getpass.getuser()
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.write_private(self.etc / "host_key", self.host_key)
        self.write_private(self.here / ".ssh/id_ed25519", self.user_key)
        self.user_key.write_public_key(self.etc / "authorized_keys")
        self.know(self.host_key)
        (self.etc / "sshd_config").write_text(
            "\n".join(
                [
                    "ListenAddress 127.0.0.1",
                    f"Port {self.port}",
                    f"HostKey {self.etc}/host_key",
                    f"AuthorizedKeysFile {self.etc}/authorized_keys",
                    "UsePAM no",
                    "StrictModes no",
                    "PermitRootLogin yes",
                    "PasswordAuthentication no",
                    "PidFile none",
                    "Subsystem sftp internal-sftp",
                    f'SetEnv "HOME={self.home}" "XDG_CACHE_HOME=" "ZOO_CACHE="',
                    *server.helpers,
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def write_private(path: Path, key: object) -> None:
        key.write_private_key(path)  # type: ignore[attr-defined]
        path.chmod(0o600)

    @property
    def address(self) -> str:
        """As `--host` takes it."""
        return f"ssh://{self.user}@127.0.0.1:{self.wire.port}"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "zoo"

    @property
    def left(self) -> list[str]:
        """What is on the device of runs; locks apart."""
        return sorted(path.name for path in self.cache.glob("ssh/*") if path.is_dir())

    def know(self, key: object) -> None:
        """Make a host key the known one."""
        line = key.export_public_key().decode()  # type: ignore[attr-defined]
        ports = (self.port, self.wire.port)
        (self.here / ".ssh/known_hosts").write_text("".join(f"[127.0.0.1]:{port} {line}" for port in ports))

    def start(self) -> None:
        """Switch it on, and wait until it answers."""
        with (self.etc / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self._as_root(), self.server.program, "-D", "-e", "-f", self.etc / "sshd_config"],
                stderr=log,
                env=self.server.environment,
            )
        self.wire.open()
        for _ in range(100):
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), 5)) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.skip(f"sshd does not start: {(self.etc / 'log').read_text().strip()}")

    def _as_root(self) -> list[str]:
        """Root's sshd wants a user and an empty folder for what comes before a login: made where only it sees them."""
        if os.geteuid() or (Path("/run/sshd").exists() and "\nsshd:" in Path("/etc/passwd").read_text()):
            return []
        users = self.etc / "passwd"
        users.write_text(Path("/etc/passwd").read_text() + "sshd:x:65533:65534::/run/sshd:/bin/false\n")
        prepare = 'mount --bind "$0" /etc/passwd && mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", prepare, str(users)]

    def stop(self) -> None:
        """Switch it off."""
        self.wire.close()
        if self.process:
            self.process.terminate()
            self.process.wait()


@contextmanager
def running_device(folder: Path) -> Iterator[Device]:
    """A device, from switching it on to switching it off; the test is skipped where no sshd is to be had."""
    pytest.importorskip("asyncssh")
    server = find_server()
    if server is None:
        pytest.skip("no sshd here, and none to be fetched")
    device = Device(folder, server)
    try:
        device.start()
        yield device
    finally:
        device.stop()


def bare_environment(folder: Path, *packages: str) -> Path:
    """The interpreter of a new environment with these packages only, as a device has them."""
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", folder / "bin/python", *packages], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], check=True)
    return folder / "bin/python"
