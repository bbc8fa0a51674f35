"""Folders that a user names: checked before the work, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.errors import OutputError

FULL = (errno.ENOSPC, errno.EDQUOT)
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
KEPT = 40  # characters of the folder's name in that of the fresh one, which must not become too long


def _refusal(out: Path, error: OSError) -> OutputError:
    if error.errno in TAKEN:
        return OutputError(f"{out} was written by another process meanwhile. Name a new folder, or remove it first.")
    mend = "Free some space, or name" if error.errno in FULL else "Name"
    return OutputError(f"can't write {out}: {error.strerror or error}. {mend} another folder.")


def check_folder(out: Path) -> bool:
    """Check, before the work, that a folder can be written; return whether something is in it already.

    Raises:
        OutputError: it is a file, a link or a mount point, or it can't be written.
    """
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise OutputError(f"can't write {out}: it is a file or a link. Name a new folder.")
        if out.exists() and os.path.ismount(out):
            raise OutputError(f"can't write {out}: it is a mount point. Name a new folder in it.")
        parent = out.absolute().parent
        if not parent.is_dir():
            raise OutputError(f"can't write {out}: the folder {parent} does not exist. Create it, or name another.")
        if not os.access(parent, os.W_OK):
            raise OutputError(f"can't write {out}: {parent} is not writable. Name another folder.")
        return out.exists() and any(out.iterdir())
    except OSError as error:
        raise _refusal(out, error) from None


def check_new_folder(out: Path) -> None:
    """`check_folder`, for a folder that must be new or empty.

    Raises:
        OutputError: see `check_folder`; or something is in it.
    """
    if check_folder(out):
        raise OutputError(f"{out} is there and not empty. Name a new folder, or remove it first.")


@contextmanager
def fresh_folder(out: Path, replace: bool = False) -> Iterator[Path]:
    """A new folder beside `out`, which takes its name in one rename when the block ends. Otherwise nothing is left.

    Args:
        replace: also in place of a folder that is not empty.

    Raises:
        OutputError: it can't be written, or another process wrote `out` meanwhile.
    """
    place, fresh, old = out.absolute(), None, None
    try:
        fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name[:KEPT]}."))
        fresh.chmod(0o755)
        yield fresh
        if replace and place.exists():
            old = fresh.with_name(f"{fresh.name}.old")
            place.rename(old)
        fresh.rename(place)
        if old:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _refusal(out, error) from None
    finally:
        if old and old.exists() and not place.exists():  # whatever interrupts this, nothing is removed before it
            with suppress(OSError):
                old.rename(place)
        for left in (fresh, old if place.exists() else None):
            if left:
                shutil.rmtree(left, ignore_errors=True)
