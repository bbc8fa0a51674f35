"""Files that save a runtime time across processes. Losing one costs only that time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def read_cache(path: Path) -> bytes:
    """Content of a cache file; empty if it is missing or can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path, content: bytes) -> None:
    """Write it in one rename, since others may be reading the file. A full disk is not an error."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_bytes(content)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
