"""A bundle is sent to a device over ssh, runs there, and its result is fetched."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from targets.errors import DeviceError
from targets.files import sha256
from targets.machine.device import cache_folder
from targets.ssh import device_side, run_on_device
from tests.targets.ssh.jobs import Heard, make_bundle, refused, runs
from tests.targets.sshd import Device


def test_there_and_back(device: Device, tmp_path: Path) -> None:
    bundle, result, heard = make_bundle(tmp_path / "tiny", mib=5.5, size=500_000), tmp_path / "result", Heard()
    run_on_device(device.address, sys.executable, bundle, result, heard)
    assert result.read_bytes() == b"measured" * 500_000
    assert [line for line in heard.lines if "step" in line] == ["first step", "second step"]
    assert heard.bars == {"sending, MiB": (5, 5), "fetching, MiB": (3, 3)}
    assert (len(runs(device)), device.left) == (2, [])
    assert sorted(path.name for path in device.cache.iterdir()) == ["ran", "ssh"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "result", "tiny"]


def test_a_login_script_that_prints_and_a_path_with_spaces(device: Device, tmp_path: Path) -> None:
    (device.home / ".bashrc").write_text("printf 'welcome, '; echo 'whoever you are' >&2\n")
    (device.home / "json.py").write_text("a module of the user's own")
    tools = device.home / "my tools"
    tools.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tools / "python").chmod(0o755)
    run_on_device(device.address, "~/my tools/python", make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())


def test_an_unsuitable_python(device: Device, tmp_path: Path) -> None:
    bundle, result = make_bundle(tmp_path / "tiny"), tmp_path / "result"
    assert "has no '/no/python3' on its PATH" in refused(device, bundle, result, python="/no/python3")
    old = tmp_path / "python3.8"  # this Python, as far as it knows 3.8
    lie = "import sys; sys.version_info = (3, 8, 1); "
    old.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{lie}$2"\n')
    old.chmod(0o755)
    assert "is too old: it is Python 3.8, but 3.10 is required" in refused(device, bundle, result, python=str(old))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = str(tmp_path / "bare/bin/python")
    error = refused(device, bundle, result, python=bare)
    assert error.startswith(f"'{bare}' on {device.user}@127.0.0.1 has no numpy. Run: ssh -p {device.wire.port}")
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
        ("os.kill(os.getppid(), 9)\nos.kill(os.getpid(), 9)", ": the program ended without a message"),
        ("sys.exit()", ": the program succeeded, but wrote no result"),
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


def test_old_runs_are_removed(device: Device, tmp_path: Path) -> None:
    for name, days in (("old", 8), ("young", 6)):
        (device.cache / "ssh" / name).mkdir(parents=True)
        os.utime(device.cache / "ssh" / name, (time.time() - days * 86400,) * 2)
    run_on_device(device.address, sys.executable, make_bundle(tmp_path / "tiny"), tmp_path / "result", Heard())
    assert device.left == ["young"]


CALL = """
import signal, sys
from pathlib import Path
from targets.ssh import run_on_device
from tests.targets.ssh.jobs import Heard
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


@pytest.mark.parametrize("named", [{}, {"XDG_CACHE_HOME": "/x"}, {"ZOO_CACHE": "/y", "XDG_CACHE_HOME": "/x"}])
def test_the_program_uses_the_same_cache(monkeypatch: pytest.MonkeyPatch, named: dict[str, str]) -> None:
    for name in ("XDG_CACHE_HOME", "ZOO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in named.items():
        monkeypatch.setenv(name, folder)
    assert device_side.cache_folder() == cache_folder()


def test_the_device_side_has_the_same_digests(tmp_path):
    """It is sent as one file, so it can't import `targets.files`."""
    (tmp_path / "file").write_bytes(b"zoo" * 2**20)
    assert device_side._digest(tmp_path / "file") == sha256(tmp_path / "file")


@pytest.mark.parametrize("patience", [None, "7"])
def test_the_wait_for_an_idle_machine_is_passed_on(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: str | None
) -> None:
    monkeypatch.delenv("ZOO_QUIET_SECONDS", raising=False)
    if patience:
        monkeypatch.setenv("ZOO_QUIET_SECONDS", patience)
    heard, end = Heard(), "print('patience', os.environ.get('ZOO_QUIET_SECONDS'))"
    run_on_device(device.address, sys.executable, make_bundle(tmp_path / "tiny", end), tmp_path / "result", heard)
    assert f"patience {patience}" in heard.lines
