"""Files that a user names: checked before the work, and written in one rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.files import write_bytes
from zoo.errors import OutputError


def check_writable(path: Path) -> None:
    """Check, before the work, that a file can be written.

    Raises:
        OutputError: its folder is missing or not writable.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"can't write {path}: the folder {folder} does not exist. Create it, or name another file.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        why = "it is a folder" if path.is_dir() else f"{folder} is not writable"
        raise OutputError(f"can't write {path}: {why}. Name another file.")


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one rename.

    Raises:
        OutputError: it can't be written.
    """
    try:
        write_bytes(path, content)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}. Free some space, or name another file.") from None


def write_by(path: Path, write: Callable[[Path], None]) -> None:
    """Let a library write a large file, and give it its name in one rename.

    Args:
        write: writes to the path that it is given.

    Raises:
        OutputError: it can't be written.
    """
    fresh = None
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        os.close(handle)
        fresh = Path(name)
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.chmod(0o644)
        fresh.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise OutputError(f"can't write {path}: {why}. Free some space, or name another file.") from None
    finally:
        if fresh:
            fresh.unlink(missing_ok=True)
