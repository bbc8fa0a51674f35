"""OpenSSH's server on loopback, and short waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.targets.sshd import Device, running_device


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device with known keys on both sides."""
    with running_device(tmp_path / "device") as device:
        monkeypatch.setenv("HOME", str(device.here))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield device


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits for a real network."""
    pytest.importorskip("asyncssh")
    monkeypatch.setattr("targets.ssh.remote_job.WAITS", (0.1, 0.1, 0.2))
    monkeypatch.setattr("targets.ssh.remote_job.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("targets.ssh.remote_job.FOLLOW_SECONDS", 0.1)
