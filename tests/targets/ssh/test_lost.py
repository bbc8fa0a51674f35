"""Lost connections, and concurrent runs on one device."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from targets.errors import DeviceError
from targets.ssh import device_side, run_on_device
from tests.targets.ssh.errand import Heard, make_bundle, once, runs
from tests.targets.sshd import Device


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
    """The run reconnects and resumes, and the program runs once."""
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
    """The run gives up and says how to continue; the same command resumes it."""
    bundle, result = make_bundle(tmp_path / "tiny", seconds=0.2), tmp_path / "result"
    heard = Heard(once("first step", device.wire.close))
    with pytest.raises(DeviceError) as caught:
        run_on_device(device.address, sys.executable, bundle, result, heard)
    assert str(caught.value) == (
        f"the connection to {device.user}@127.0.0.1 is lost: connection refused at port {device.wire.port} "
        "(is its ssh server running?).\nThe run continues there; run the same command again to rejoin it."
    )
    device.wire.open()
    heard = Heard()
    run_on_device(device.address, sys.executable, bundle, result, heard)
    assert heard.lines[0].startswith("resuming the run on")
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
    name = "one" if same else "(one|two)"  # whichever came first
    assert re.search(rf"{name}@1, from {device.user}@{re.escape(os.uname().nodename)}\); waiting for it$", waits[0])


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


def test_the_turn_is_released_without_requests(tmp_path: Path) -> None:
    """A connection that died silently must not keep the device."""
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
