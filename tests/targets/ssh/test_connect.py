"""Connections: addresses, keys, host keys, and error messages."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from targets.errors import DeviceError
from targets.ssh import run_on_device
from targets.ssh.address import read_address
from tests.targets.ssh.jobs import Heard, make_bundle, refused, runs
from tests.targets.sshd import Device, free_port  # type: ignore[attr-defined]


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


def test_key_that_the_device_does_not_know(device: Device, tmp_path: Path) -> None:
    import asyncssh

    device.write_private(device.here / ".ssh/id_ed25519", asyncssh.generate_private_key("ssh-ed25519"))
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert error.startswith(f"permission denied: {device.user}@127.0.0.1 accepts none of your keys")
    assert f"ssh-copy-id -p {device.wire.port} {device.user}@127.0.0.1 installs one" in error


@pytest.mark.parametrize("trusting", ["", "StrictHostKeyChecking no\n", "UserKnownHostsFile none\n"])
def test_host_key_that_we_do_not_know(device: Device, tmp_path: Path, trusting: str) -> None:
    """Whatever the configuration says about it."""
    (device.here / ".ssh/known_hosts").unlink()
    (device.here / ".ssh/config").write_text(trusting)
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert error == (
        f"the host key of {device.user}@127.0.0.1 is unknown (ssh-ed25519 {device.host_key.get_fingerprint()}).\n"
        "Run once and compare the fingerprint with the device's: "
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
    assert "has changed (" in refused(device, tmp_path / "tiny", tmp_path / "result")


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_host_key_that_changed(device: Device, tmp_path: Path, kind: str) -> None:
    import asyncssh

    device.know(asyncssh.generate_private_key(kind))
    error = refused(device, make_bundle(tmp_path / "tiny"), tmp_path / "result")
    assert "has changed (" in error
    assert f"ssh-keygen -R '[127.0.0.1]:{device.wire.port}'" in error


def test_device_that_does_not_answer(device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, result = make_bundle(tmp_path / "tiny"), tmp_path / "result"
    port = free_port()
    error = refused(device, bundle, result, host=f"ssh://127.0.0.1:{port}")
    assert error.startswith(
        f"127.0.0.1 can't be reached: connection refused at port {port} (is its ssh server running?)."
    )
    error = refused(device, bundle, result, host="ssh://board.invalid")
    assert error.startswith("board.invalid can't be reached: unknown host board.invalid (")
    monkeypatch.setattr("targets.ssh.connect.CONNECT_SECONDS", 0.5)
    device.wire.to = device.wire.port  # itself: it accepts connections, and never answers
    assert "can't be reached: no answer (is it switched on" in refused(device, bundle, result)


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
    with pytest.raises(DeviceError, match=f"{text!r} is not a device address. Write ssh://USER@HOST:PORT"):
        read_address(text)


def test_address() -> None:
    assert read_address("ssh://Pi.4@my-board.local:2222").command("ssh") == "ssh -p 2222 Pi.4@my-board.local"
    assert read_address("ssh://[fe80::1]:22").host == "fe80::1"
    assert read_address("ssh://board/").command("ssh") == "ssh board"
    with pytest.raises(DeviceError, match="'ssh://me:…@board' is not a device address.*use a key") as caught:
        read_address("ssh://me:secret@board")
    assert "secret" not in str(caught.value)


def test_without_asyncssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("targets.ssh.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(DeviceError, match=r"^devices over ssh need asyncssh. Run: pip install .*\[ssh\]"):
        run_on_device("ssh://board", "python3", tmp_path / "bundle", tmp_path / "result", Heard())
