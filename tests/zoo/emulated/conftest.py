"""A stand-in for qemu: it runs the emulated machine's program by this Python, and may spoil what comes back."""

import os
import sys
from textwrap import dedent

import pytest

from zoo.emulated.debian import System

PROGRAM = """\
#!/bin/sh
if [ "$1" = --version ]; then echo 'qemu-aarch64 version 7.2.22 (Debian 1:7.2)'; exit; fi
echo "$@" >> {log}
shift 5 # -cpu CPU -L ROOT PYTHON
code="$1" job="$2"
env -u PYTHONPATH {python} "$@" || exit
{after}
"""


@pytest.fixture
def emulator(tmp_path, monkeypatch):
    """Puts a stand-in for qemu into PATH; `after` is Python that gets the `embeddings`, and how it ends."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()

    def put(after="", shell=""):
        lines = f"import numpy as np; path = '$job/embeddings.npy'; embeddings = np.load(path); {after}; "
        spoil = f'{sys.executable} -c "{lines} np.save(path, embeddings)"' if after else ""
        text = PROGRAM.format(log=log, python=sys.executable, after="\n".join((spoil, shell)))
        (folder / "qemu-aarch64-static").write_text(dedent(text))
        (folder / "qemu-aarch64-static").chmod(0o755)
        return lambda: log.read_text().splitlines() if log.exists() else []

    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("zoo.emulated.machine.platform.machine", lambda: "x86_64")
    monkeypatch.setattr("zoo.emulated.checking.system", lambda *_: System(tmp_path / "root", {"libc6": "2.36-9"}))
    monkeypatch.setattr("zoo.emulated.checking.wheels", lambda *_: tmp_path / "wheels")
    return put
