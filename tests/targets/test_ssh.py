"""A bundle on a device over ssh: against OpenSSH's server on loopback, by a bundle that needs no runtime."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from targets.archive import write_archive
from targets.bundle import BUNDLE_LIST
from targets.device import cache_folder
from targets.errors import DeviceError
from targets.ssh import device_side, run_on_device
from targets.ssh.address import read_address
from tests.targets.sshd import Device, free_port, running_device

MIB = 2**20
PROGRAM = """
import os, sys, time
from pathlib import Path

cache = Path(os.environ["ZOO_CACHE"])
with (cache / "ran").open("a") as file:
    print(time.time(), file=file)
print("first step", flush=True)
end = time.monotonic() + SECONDS
while time.monotonic() < end and not (cache / "go").exists():
    time.sleep(0.01)
print("second step", flush=True)
END
Path(sys.argv[1]).write_bytes(b"measured" * SIZE)
with (cache / "ran").open("a") as file:
    print(time.time(), file=file)
"""


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device that knows our key, and whose key we know."""
    with running_device(tmp_path / "device") as device:
        monkeypatch.setenv("HOME", str(device.here))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield device


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than a person's network needs."""
    pytest.importorskip("asyncssh")
    monkeypatch.setattr("targets.ssh.errand.WAITS", (0.1, 0.1, 0.2))
    monkeypatch.setattr("targets.ssh.errand.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("targets.ssh.errand.FOLLOW_SECONDS", 0.1)


def make_bundle(path: Path, end: str = "", *, seconds: float = 0.0, mib: float = 0.1, size: int = 1000) -> Path:
    """A bundle whose program does nothing for `seconds` and ends with `end`, or a result of 8 × `size` bytes."""
    code = PROGRAM.replace("SECONDS", str(seconds)).replace("END", end).replace("SIZE", str(size))
    files: dict[str, Path | bytes] = {"__main__.py": code.encode(), "graphs/ballast": os.urandom(int(mib * MIB))}
    write_archive(path, BUNDLE_LIST, {"release": f"{path.stem}@1"}, files)
    return path


@dataclass
class Heard:
    """What a run tells; `when` is called with each line, and with each step of a bar as its name."""

    when: Callable[[str], None] = lambda _: None
    lines: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    bars: dict[str, tuple[int, int]] = field(default_factory=dict)

    def say(self, text: str, /) -> None:
        self.lines.append(text)
        self.when(text)

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0, /) -> Iterator[Heard]:
        self.name = name
        self.starts.append((name, done))
        self.bars[name] = done, total
        yield self

    def advance(self, steps: int = 1, /) -> None:
        done, total = self.bars[self.name]
        self.bars[self.name] = done + steps, total
        self.when(self.name)


def once(word: str, action: Callable[[], None]) -> Callable[[str], None]:
    """Act on the first line that holds a word."""
    left = [action]
    return lambda line: left.pop()() if left and word in line else None


def runs(device: Device) -> list[float]:
    """When the program began and ended, each time."""
    return [float(line) for line in (device.cache / "ran").read_text().split()]


def refused(
    device: Device, bundle: Path, result: Path, *, host: str | None = None, python: str = sys.executable
) -> str:
    """Run, expect a refusal in one or two lines, and give it back."""
    with pytest.raises(DeviceError) as caught:
        run_on_device(host or device.address, python, bundle, result, Heard())
    assert len(str(caught.value).splitlines()) <= 2
    assert not result.exists()
    return str(caught.value)


def test_there_and_back(device: Device, tmp_path: Path) -> None:
    bundle, result, heard = make_bundle(tmp_path / "tiny", mib=5.5, size=500_000), tmp_path / "result", Heard()
    run_on_device(device.address, sys.executable, bundle, result, heard)
    assert result.read_bytes() == b"measured" * 500_000
    assert [line for line in heard.lines if "step" in line] == ["first step", "second step"]
    assert heard.bars == {"sending, MiB": (5, 5), "fetching, MiB": (3, 3)}
    assert (len(runs(device)), device.left) == (2, [])
    assert sorted(path.name for path in device.cache.iterdir()) == ["ran", "ssh"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "result", "tiny"]


def test_configuration_names_the_device(device: Device, tmp_path: Path) -> None:
    """`~/.ssh/config` as OpenSSH reads it: another name, a key of another name, and a host on the way."""
    (device.here / ".ssh/id_ed25519").rename(device.here / ".ssh/of the board")
    (device.here / ".ssh/config").write_text(
        f"Host board far\n  HostName 127.0.0.1\n  User {device.user}\n  IdentityFile ~/.ssh/'of the board'\n"
        f"Host board\n  Port {device.wire.port}\nHost far\n  Port {device.port}\n  ProxyJump board\n"
    )
    for host in ("ssh://board", "ssh://far"):
        run_on_device(host, sys.executable, make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())
    assert len(runs(device)) == 4


def test_agent_has_the_key(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("ssh-agent"):
        pytest.skip("no ssh-agent here")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL) as agent:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        key = device.here / ".ssh/id_ed25519"
        subprocess.run(["ssh-add", "-q", key], check=True)
        key.unlink()
        run_on_device(device.address, sys.executable, make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())
        agent.terminate()


def test_login_script_that_talks_and_a_path_with_blanks(device: Device, tmp_path: Path) -> None:
    (device.home / ".bashrc").write_text("printf 'welcome, '; echo 'whoever you are' >&2\n")
    (device.home / "json.py").write_text("a module of the user's own")
    tools = device.home / "my tools"
    tools.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tools / "python").chmod(0o755)
    run_on_device(device.address, "~/my tools/python", make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())


def test_key_that_the_device_does_not_know(device: Device, tmp_path: Path) -> None:
    import asyncssh

    device.write_private(device.here / ".ssh/id_ed25519", asyncssh.generate_private_key("ssh-ed25519"))
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert error.startswith(f"permission denied: {device.user}@127.0.0.1 accepts none of your keys")
    assert f"ssh-copy-id -p {device.wire.port} {device.user}@127.0.0.1 sends one" in error


@pytest.mark.parametrize("trusting", ["", "StrictHostKeyChecking no\n", "UserKnownHostsFile none\n"])
def test_host_key_that_we_do_not_know(device: Device, tmp_path: Path, trusting: str) -> None:
    """Whatever the configuration says about it."""
    (device.here / ".ssh/known_hosts").unlink()
    (device.here / ".ssh/config").write_text(trusting)
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert error == (
        f"the host key of {device.user}@127.0.0.1 isn't known (ssh-ed25519 {device.host_key.get_fingerprint()}).\n"
        "Run once, and compare the fingerprint with the device's: "
        f"ssh -p {device.wire.port} {device.user}@127.0.0.1"
    )


def test_known_hosts_may_be_hashed(device: Device, tmp_path: Path) -> None:
    """As Debian's ssh writes them."""
    import asyncssh

    known = device.here / ".ssh/known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    run_on_device(device.address, sys.executable, make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())
    (tmp_path / "result").unlink()
    device.know(asyncssh.generate_private_key("ssh-ed25519"))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "shows another host key" in refused(device, tmp_path / "tiny", tmp_path / "result")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_host_key_that_changed(device: Device, tmp_path: Path, kind: str) -> None:
    import asyncssh

    device.know(asyncssh.generate_private_key(kind))
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert "shows another host key" in error
    assert f"ssh-keygen -R '[127.0.0.1]:{device.wire.port}'" in error


def test_device_that_does_not_answer(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, result = make_bundle(tmp_path / "tiny"), tmp_path / "result"
    port = free_port()
    error = refused(device, bundle, result, host=f"ssh://127.0.0.1:{port}")
    assert error.startswith(
        f"127.0.0.1 can't be reached: connection refused at port {port} (is its ssh server running?)."
    )
    error = refused(device, bundle, result, host="ssh://board.invalid")
    assert error.startswith("board.invalid can't be reached: no machine is called board.invalid (")
    monkeypatch.setattr("targets.ssh.connect.CONNECT_SECONDS", 0.5)
    device.wire.to = device.wire.port  # itself: it takes connections, and says nothing
    assert "can't be reached: no answer (is it on" in refused(device, bundle, result)


def test_reasons_of_several_addresses() -> None:
    from targets.ssh.connect import reason

    both = "Multiple exceptions: [Errno {0}] Connect call failed ('::1', 9), [Errno {0}] Connect call failed ('::2', 9)"
    assert reason(OSError(both.format(errno.ECONNREFUSED)), 9).startswith("connection refused at port 9")
    assert reason(OSError(both.format(errno.EHOSTUNREACH)), 9) == "No route to host"


@pytest.mark.parametrize(
    "text",
    [
        "board",
        "user@board",
        "http://board",
        "ssh://",
        "ssh://-oProxyCommand=x",
        "ssh://a b",
        "ssh://board:0",
        "ssh://b:x/",
    ],
)
def test_address_that_is_none(text: str) -> None:
    with pytest.raises(DeviceError, match=f"{text!r} is no device. Write ssh://USER@HOST:PORT"):
        read_address(text)


def test_address() -> None:
    assert read_address("ssh://Pi.4@my-board.local:2222").command("ssh") == "ssh -p 2222 Pi.4@my-board.local"
    assert read_address("ssh://[fe80::1]:22").host == "fe80::1"
    assert read_address("ssh://board/").command("ssh") == "ssh board"
    with pytest.raises(DeviceError, match="'ssh://me:…@board' is no device.*use a key") as caught:
        read_address("ssh://me:secret@board")
    assert "secret" not in str(caught.value)


def test_python_that_will_not_do(device: Device, tmp_path: Path) -> None:
    bundle, result = make_bundle(tmp_path / "tiny"), tmp_path / "result"
    assert "has no '/no/python3' where a command finds it" in refused(device, bundle, result, python="/no/python3")
    old = tmp_path / "python3.8"  # this Python, as far as it knows 3.8
    lie = "import sys; sys.version_info = (3, 8, 1); "
    old.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{lie}$2"\n')
    old.chmod(0o755)
    assert "won't do: it is Python 3.8, and 3.10 is needed" in refused(device, bundle, result, python=str(old))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = str(tmp_path / "bare/bin/python")
    error = refused(device, bundle, result, python=bare)
    assert error.startswith(f"'{bare}' on {device.user}@127.0.0.1 has no numpy. ssh -p {device.wire.port}")
    assert error.endswith(f"'{bare} -m pip install numpy'")
    assert not device.cache.exists()


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (
            "print('half a plot\\rwarning \\x1b[31m')\nsys.exit('Error: no runtime here.\\nInstall it.')",
            ": no runtime here.\nInstall it.",
        ),
        ("sys.exit('it broke')", ": the program failed: it broke"),
        ("(cache / f'bundle-{os.getpid()}-x').mkdir()\nos.kill(os.getpid(), 9)", ": the program was killed (signal 9)"),
        ("os.kill(os.getppid(), 9)\nos.kill(os.getpid(), 9)", ": the program ended without a word"),
        ("sys.exit()", ": the program ended well, but wrote no result"),
    ],
)
def test_program_that_fails(device: Device, tmp_path: Path, end: str, told: str) -> None:
    bundle, heard = make_bundle(tmp_path / "tiny", end), Heard()
    with pytest.raises(DeviceError) as caught:
        run_on_device(device.address, sys.executable, bundle, tmp_path / "result", heard)
    assert str(caught.value).startswith(f"{device.user}@127.0.0.1{told}")
    assert not any("Error" in line or "plot" in line or "\x1b" in line for line in heard.lines)
    assert sorted(path.name for path in device.cache.iterdir()) == ["ran", "ssh"]
    assert (device.left, len(runs(device))) == ([], 1)


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("cut", "sending, MiB"),
        ("cut", "running on"),
        ("cut", "first step"),
        ("cut", "fetching, MiB"),
        ("hush", "sending, MiB"),
        ("hush", "first step"),
    ],
)
def test_connection_cut(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, how: str) -> None:
    """It is made again, goes on from there, and the program runs once."""
    if how == "hush":
        monkeypatch.setattr("targets.ssh.connect.ALIVE_SECONDS", 0.3)
    heard = Heard(once(where, getattr(device.wire, how)))
    bundle = make_bundle(tmp_path / "tiny", seconds=0.3, mib=8, size=2**20)
    run_on_device(device.address, sys.executable, bundle, tmp_path / "result", heard)
    assert (tmp_path / "result").read_bytes() == b"measured" * 2**20
    assert len([line for line in heard.lines if line.startswith("lost the connection")]) == 1
    assert [line for line in heard.lines if "step" in line] == ["first step", "second step"]
    assert (device.wire.connections, len(runs(device)), device.left) == (2, 2, [])
    if where in heard.bars:
        (_, first), (_, second) = [start for start in heard.starts if start[0] == where]
        assert first == 0 < second
        assert heard.bars[where] == (8, 8)


def test_device_that_stays_away(device: Device, tmp_path: Path) -> None:
    """The run gives up and says how it goes on; the same command takes it up."""
    bundle, result = make_bundle(tmp_path / "tiny", seconds=0.2), tmp_path / "result"
    heard = Heard(once("first step", device.wire.close))
    with pytest.raises(DeviceError) as caught:
        run_on_device(device.address, sys.executable, bundle, result, heard)
    assert str(caught.value) == (
        f"the connection to {device.user}@127.0.0.1 is lost: connection refused at port {device.wire.port} "
        "(is its ssh server running?).\nWhat runs there goes on; the same command takes it up where it is."
    )
    device.wire.open()
    heard = Heard()
    run_on_device(device.address, sys.executable, bundle, result, heard)
    assert heard.lines[0].startswith("taking up the run that was begun on")
    assert [line for line in heard.lines if "step" in line] == ["first step", "second step"]
    assert (len(runs(device)), device.left) == (2, [])


@pytest.mark.parametrize("same", [True, False])
def test_two_at_once(device: Device, tmp_path: Path, same: bool) -> None:
    """One after the other."""
    bundles = [make_bundle(tmp_path / "one", seconds=0.3), make_bundle(tmp_path / "two", seconds=0.3)]
    heard = [Heard(), Heard()]

    def go(at: int) -> None:
        bundle = bundles[0 if same else at]
        run_on_device(device.address, sys.executable, bundle, tmp_path / f"result{at}", heard[at])

    threads = [threading.Thread(target=go, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((tmp_path / f"result{at}").read_bytes() == b"measured" * 1000 for at in range(2))
    assert runs(device) == sorted(runs(device))
    assert (len(runs(device)), device.left) == (4, [])
    waits = [line for one in heard for line in one.lines if "is in use" in line]
    assert len(waits) == 1
    assert (
        waits[0].endswith(f"{'one' if same else 'two'}@1, from {device.user}@{os.uname().nodename}); waiting for it")
        or not same
    )


def test_a_run_that_was_left_alone_is_not_disturbed(device: Device, tmp_path: Path) -> None:
    """Nobody is connected, but a program runs."""
    one, two = make_bundle(tmp_path / "one", seconds=60), make_bundle(tmp_path / "two")
    heard = Heard(once("first step", device.wire.close))
    with pytest.raises(DeviceError):
        run_on_device(device.address, sys.executable, one, tmp_path / "1", heard)
    device.wire.open()
    heard = Heard(once("is in use (one@1", (device.cache / "go").touch))
    run_on_device(device.address, sys.executable, two, tmp_path / "2", heard)
    assert heard.lines[0].endswith("waiting for it")
    assert runs(device) == sorted(runs(device))
    assert len(device.left) == 1
    run_on_device(device.address, sys.executable, one, tmp_path / "1", Heard())
    assert (len(runs(device)), device.left) == (4, [])


def test_old_runs_go(device: Device, tmp_path: Path) -> None:
    for name, days in (("old", 8), ("young", 6)):
        (device.cache / "ssh" / name).mkdir(parents=True)
        os.utime(device.cache / "ssh" / name, (time.time() - days * 86400,) * 2)
    run_on_device(device.address, sys.executable, make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())
    assert device.left == ["young"]


CALL = """
import signal, sys
from pathlib import Path
from targets.ssh import run_on_device
from tests.targets.test_ssh import Heard
signal.signal(signal.SIGINT, HANDLER)
run_on_device(*sys.argv[1:3], Path(sys.argv[3]), Path(sys.argv[4]), Heard(lambda line: print(line, flush=True)))
"""


@pytest.mark.parametrize(
    "handler", ["signal.default_int_handler", "lambda *raised: signal.default_int_handler(*raised)"]
)
def test_interrupted(device: Device, tmp_path: Path, handler: str) -> None:
    """Ctrl-C ends the program there; what was sent is not sent again. The second handler makes it Python 3.10."""
    bundle, result = make_bundle(tmp_path / "tiny", seconds=60), tmp_path / "result"
    call = [
        sys.executable,
        "-c",
        CALL.replace("HANDLER", handler),
        device.address,
        sys.executable,
        str(bundle),
        str(result),
    ]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = ""
        while "first step" not in said:
            said += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)
    assert "stopped on" in said, errors
    assert errors.strip().endswith("KeyboardInterrupt")
    (left,) = device.left
    assert [path.name for path in (device.cache / "ssh" / left).iterdir()] == ["bundle"]
    (device.cache / "go").touch()
    heard = Heard()
    run_on_device(device.address, sys.executable, bundle, result, heard)
    assert heard.lines[0].startswith("running on")
    assert (len(runs(device)), device.left) == (3, [])


def rewrite_sizes(bundle: Path, size_bytes: int) -> None:
    """Claim in a bundle's list that a file is so large."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(files[BUNDLE_LIST])
    about["files"]["graphs/ballast"]["size_bytes"] = size_bytes
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, json.dumps(about) if name == BUNDLE_LIST else content)


def test_disk_too_small(device: Device, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    rewrite_sizes(bundle, 10**15)
    error = refused(device, bundle, tmp_path / "result")
    assert f"{device.cache / 'ssh'}" in error
    assert "MB free, and 4,000,000,000 MB are needed. Free some, or let ZOO_CACHE there name a folder" in error
    assert device.left == []


def test_disk_that_fills_up(device: Device, tmp_path: Path) -> None:
    """The kernel says that there is no space, as /dev/full does."""

    def fill() -> None:
        for folder in (device.cache / "ssh").glob("*/"):
            (folder / "bundle.part").symlink_to("/dev/full")

    bundle, heard = make_bundle(tmp_path / "tiny", mib=3), Heard(once("sending", fill))
    with pytest.raises(DeviceError) as caught:
        run_on_device(device.address, sys.executable, bundle, tmp_path / "result", heard)
    assert "can't write or read a file (Failure)" in str(caught.value)
    assert "Free some space or quota" in str(caught.value)
    assert device.left == []


def test_cache_that_can_not_be_made(device: Device, tmp_path: Path) -> None:
    device.cache.parent.write_text("no folder")
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert f"Not a directory: {device.cache}" in error


def test_part_of_something_else(device: Device, tmp_path: Path) -> None:
    """What lies where a file goes is not trusted, there or here."""

    def spoil() -> None:
        for folder in (device.cache / "ssh").glob("*/"):
            (folder / "bundle.part").write_bytes(b"x" * 5000)

    bundle, result = make_bundle(tmp_path / "tiny", mib=3), tmp_path / "result"
    (tmp_path / ".result.part").write_bytes(b"y" * 100)
    run_on_device(device.address, sys.executable, bundle, result, Heard(once("sending", spoil)))
    assert result.read_bytes() == b"measured" * 1000
    assert len(runs(device)) == 2


def test_the_turn_is_given_back_when_nobody_asks(tmp_path: Path) -> None:
    """A connection that died without a word to the device must not keep it."""
    source = Path(device_side.__file__).read_text().replace("PATIENCE = 60", "PATIENCE = 1")
    code = f"{source}\nserve('0' * 64, 'a test', 'answer:')"
    call = [sys.executable, "-c", code]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "ZOO_CACHE": str(tmp_path)}
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write('[1, "enter"]\n')
        process.stdin.flush()
        assert '"busy": null' in process.stdout.readline()
        assert device_side._lock(tmp_path / "ssh/turn") is None
        assert process.wait(5) == -signal.SIGALRM
    assert device_side._lock(tmp_path / "ssh/turn")


@pytest.mark.parametrize("named", [{}, {"XDG_CACHE_HOME": "/x"}, {"ZOO_CACHE": "/y", "XDG_CACHE_HOME": "/x"}])
def test_cache_is_the_program_s(monkeypatch: pytest.MonkeyPatch, named: dict[str, str]) -> None:
    for name in ("XDG_CACHE_HOME", "ZOO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in named.items():
        monkeypatch.setenv(name, folder)
    assert device_side.cache_folder() == cache_folder()


def test_without_asyncssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("targets.ssh.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(DeviceError, match=r"^devices over ssh need asyncssh. pip install .*\[ssh\]"):
        run_on_device("ssh://board", "python3", tmp_path / "bundle", tmp_path / "result", Heard())
