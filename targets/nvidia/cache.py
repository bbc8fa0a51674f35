"""Files that save a runtime time from one process to the next. Losing one costs that time and nothing else."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def read_cache(path: Path) -> bytes:
    """What was kept; nothing if there is nothing, or it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path, content: bytes) -> None:
    """Keep it, in one rename: others may read the same file at this moment. A full disk is no reason to fail."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_bytes(content)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
