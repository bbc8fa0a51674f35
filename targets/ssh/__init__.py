"""Runs a bundle on a device over ssh: sends it, compiles and measures it there, and fetches the result.

    address       ssh://user@host:port
    connect       a connection with OpenSSH's configuration, keys, agent and known hosts
    remote_job        one run, over any number of connections
    device_side   the program that answers on the device

On the device everything is in `CACHE/ssh/KEY`, where CACHE is `targets.machine.device.cache_folder` and KEY identifies
the bundle. The folder is removed when the run ends or fails; after an interruption it stays, and the same command
resumes from it. A later run on that device removes it after a week. Only one run at a time uses a device, because two
would disturb each other's times; the second one waits.

Ctrl-C stops the program on the device and keeps the files that were sent. A lost connection stops nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from targets.errors import DeviceError
from targets.installing import install_command
from targets.ssh.address import read_address


class Bar(Protocol):
    """Progress of one task."""

    def advance(self, steps: int = 1, /) -> None:
        """Advance by `steps`."""


class Progress(Protocol):
    """Receives the progress of a run; `pipeline.progress.Progress` is one."""

    def say(self, text: str, /) -> None:
        """Print a line that stays."""

    def bar(self, name: str, total: int, done: int = 0, /) -> AbstractContextManager[Bar]:
        """A bar of `total` steps, `done` of which are complete. Here a step is one MiB."""


def run_on_device(host: str, python: str, bundle: Path, result: Path, progress: Progress) -> None:
    """Run a bundle on a device and write its measurements to `result`, in one rename.

    Args:
        host: `ssh://user@host:port`; omitted parts and aliases come from `~/.ssh/config`.
        python: the interpreter there with numpy and the runtime; may begin with `~/`.
        bundle: see `targets.bundles.contents`.

    Raises:
        DeviceError: the device can't be reached or trusted, lacks something, or was lost for good; or the program
            failed there, in which case the message is its own.
        BadBundle: `bundle` is not a bundle.
        OSError: `result` can't be written here.
    """
    _remote_job().run(read_address(host), python, bundle, result, progress)


def check_device(host: str, python: str, distribution: str, check_version: Callable[[str], None] | None = None) -> None:
    """Check whether a device could run a bundle, and leave nothing there.

    Args:
        host, python: see `run_on_device`.
        distribution: the PyPI name of the runtime.
        check_version: see `targets.contract.version_check`.

    Raises:
        DeviceError: it can't be reached or trusted, lacks Python, numpy or the runtime, or has another version of it.
    """
    _remote_job().check(read_address(host), python, distribution, check_version)


def _remote_job() -> ModuleType:
    try:
        return import_module("targets.ssh.remote_job")
    except ModuleNotFoundError as error:
        if error.name != "asyncssh":
            raise
        raise DeviceError(f"devices over ssh need asyncssh. Run: {install_command('ssh')}") from None
