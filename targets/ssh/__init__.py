"""Running a bundle on a device over ssh: sent, compiled and measured there, its result brought back.

    address       ssh://user@host:port
    connect       a connection as OpenSSH makes it: configuration, keys, agent, known hosts
    errand        one run, from the first connection to the last, however many there are
    device_side   what answers on the device

On the device everything is in `CACHE/ssh/KEY`, where CACHE is `targets.machine.device.cache_folder` and KEY names the
bundle. The folder goes when the run ends, well or not; it stays when the run is interrupted, and the same command goes
on from it. After a week without one, the next run on that device removes it. One run at a time uses a device, because
two would spoil each other's times: the second waits.

Ctrl-C stops the program on the device and leaves what was sent. A connection that is cut stops nothing there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from targets.errors import DeviceError
from targets.installing import install_command
from targets.ssh.address import read_address


class Bar(Protocol):
    """One thing that advances."""

    def advance(self, steps: int = 1, /) -> None:
        """Go on by `steps`."""


class Progress(Protocol):
    """Where a run reports to; `pipeline.engine.progress.Progress` is one."""

    def say(self, text: str, /) -> None:
        """One line that stays."""

    def bar(self, name: str, total: int, done: int = 0, /) -> AbstractContextManager[Bar]:
        """A bar of `total` steps, of which `done` are behind us. Here a step is one MiB."""


def run_on_device(host: str, python: str, bundle: Path, result: Path, progress: Progress) -> None:
    """Run a bundle on a device and write what it measured there to `result`, which appears in one rename.

    Args:
        host: `ssh://user@host:port`; `~/.ssh/config` says what is left out, and may know the host by another name.
        python: the interpreter there that has numpy and the runtime; may begin with `~/`.
        bundle: see `targets.bundles.bundle`.

    Raises:
        DeviceError: the device can't be reached or trusted, lacks something, or was lost for good; or the program
            failed there, and then the message is its own.
        BadBundle: `bundle` is no bundle.
        OSError: `result` can't be written here.
    """
    _errand().run(read_address(host), python, bundle, result, progress)


def check_device(host: str, python: str, distribution: str) -> None:
    """Find out whether a device could run a bundle, and leave nothing there.

    Args:
        host, python: see `run_on_device`.
        distribution: the PyPI name of the runtime.

    Raises:
        DeviceError: it can't be reached or trusted, or lacks Python, numpy or the runtime.
    """
    _errand().check(read_address(host), python, distribution)


def _errand() -> ModuleType:
    try:
        return import_module("targets.ssh.remote_job")
    except ModuleNotFoundError as error:
        if error.name != "asyncssh":
            raise
        raise DeviceError(f"devices over ssh need asyncssh. {install_command('ssh')}") from None
