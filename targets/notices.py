"""Notices that libraries write to the standard error of the process, and that no option of theirs turns off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without_notices() -> Iterator[None]:
    """Drop what anything writes to the standard error of the process. Exceptions still say what went wrong."""
    with Path(os.devnull).open("w") as nothing:
        before = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
