"""All files below a folder, with the kind of each; nothing is skipped silently."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.data.suffixes import Kind, is_hidden, kind_of


def _folder_id(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - strings: a set may have fifty thousand images
    return status.st_dev, status.st_ino


def walk(folder: Path) -> Iterator[tuple[str, Kind]]:
    """Paths of files relative to a folder, with /, and the kind of each, in no order.

    Links are followed. A hidden folder, or a link to a parent folder, is returned as one path with a trailing /, and
    not entered.

    Raises:
        OSError: a folder can't be read, or a link is broken.
    """
    top = str(folder)
    waiting = [("", frozenset([_folder_id(top)]))]
    while waiting:
        inside, above = waiting.pop()
        with os.scandir(f"{top}/{inside}") as entries:
            for entry in entries:
                path = f"{inside}{entry.name}"
                if is_hidden(entry.name):
                    yield path + "/" * entry.is_dir(follow_symlinks=False), "hidden"
                elif entry.is_dir():
                    here = _folder_id(entry.path)
                    if here in above:
                        yield f"{path}/", "loop"
                    else:
                        waiting.append((f"{path}/", above | {here}))
                elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as above
                    raise FileNotFoundError(errno.ENOENT, "the link is broken", entry.path)
                else:
                    yield path, kind_of(entry.name)
