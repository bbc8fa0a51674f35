"""What went wrong in the processes that read training images, in a line.

A loading process may end at any moment, and torch tells it wherever training is then: as an error of its loader, as one
of the connection that a batch comes through, or out of a handler of signals in the middle of a step.
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
TOLD_SECONDS = 1.0  # in which torch's handler of signals tells how a process ended, or it would while this is told
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
        f"{SHARED_MEMORY}{size} is too small for the batches that loading processes hand over. In a container, "
        "start it with --shm-size=8g (or --ipc=host); else lower sampling.identities or sampling.images."
    )


def _gone(by: str = "") -> LoadingFailed:
    return LoadingFailed(
        f"a process that reads images was ended{by}, perhaps because the machine ran out of memory. Free some, or "
        "lower input.height and input.width or the batch."
    )


def explain_ended(error: Exception) -> LoadingFailed | None:
    """What a user can do where torch says that a loading process has ended; none if it says something else."""
    ended = ENDED.search(str(error))
    if not ended:
        return None
    if FULL.search(str(error)):
        return _full()
    return _gone(f" by {ended['signal'].strip()}" if ended["signal"] else "")


@contextmanager
def explained() -> Iterator[None]:
    """Around asking for a batch: errors of loading processes, in a line.

    Raises:
        LoadingFailed: a process has ended, or shared memory is too small.
        PipelineError: what went wrong in a loading process, as it would be told by this one.
    """
    try:
        yield
    except PipelineError as error:  # from another process it comes with that one's traceback
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
