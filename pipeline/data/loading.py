"""Errors of the processes that read training images, in a line.

A loading process may end at any time, and torch reports it in different ways: as an error of its loader, as one of the
connection that a batch comes through, or from a signal handler in the middle of a step.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from pipeline.errors import LoadingFailed, PipelineError

SHARED_MEMORY = Path("/dev/shm")
TOLD_SECONDS = 1.0  # within which torch's signal handler reports how a process ended, before this error is printed
FULL = re.compile(r"bus error|shared memory|</torch_|/torch_\d|No space left on device", re.IGNORECASE)
ENDED = re.compile(
    r"DataLoader worker \(pid\(?s?\)? [\d, ]+\) (?:exited unexpectedly|is killed by signal: (?P<signal>[^.]*))"
)


def _full() -> LoadingFailed:
    try:
        size = f" ({shutil.disk_usage(SHARED_MEMORY).total / 2**20:.0f} MiB)"
    except OSError:
        size = ""
    return LoadingFailed(
        f"{SHARED_MEMORY}{size} is too small for the batches of loading processes. In a container, "
        "start it with --shm-size=8g (or --ipc=host); otherwise lower sampling.identities or sampling.images."
    )


def _gone(by: str = "") -> LoadingFailed:
    return LoadingFailed(
        f"a process that reads images ended{by}, perhaps because the machine ran out of memory. Free some, or "
        "lower input.height and input.width or the batch."
    )


def explain_ended(error: Exception) -> LoadingFailed | None:
    """The user's error if torch reports that a loading process ended; otherwise None."""
    ended = ENDED.search(str(error))
    if not ended:
        return None
    if FULL.search(str(error)):
        return _full()
    return _gone(f" by {ended['signal'].strip()}" if ended["signal"] else "")


@contextmanager
def explained() -> Iterator[None]:
    """Around a request for a batch: turns errors of loading processes into a line.

    Raises:
        LoadingFailed: a process ended, or shared memory is too small.
        PipelineError: an error in a loading process, as if raised in this one.
    """
    try:
        yield
    except PipelineError as error:  # from another process it comes with a traceback
        _, found, told = str(error).rpartition(f"{type(error).__name__}: ")
        if not found or "Original Traceback" not in str(error):
            raise
        raise type(error)(told.strip()) from None
    except (EOFError, ConnectionError):  # it ended while it handed over a batch
        try:
            sleep(TOLD_SECONDS)
        except RuntimeError as error:
            raise (explain_ended(error) or _gone()) from None
        raise _gone() from None
    except (RuntimeError, OSError) as error:
        known = (
            _full() if FULL.search(str(error)) else explain_ended(error) if isinstance(error, RuntimeError) else None
        )
        if known is None:
            raise
        raise known from None
