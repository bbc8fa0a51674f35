"""A registry in a folder on this machine, or on a mounted disk."""

from __future__ import annotations

import io
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from filelock import FileLock

from zoo.registry.index import INDEX
from zoo.registry.places import UNFINISHED, YOUNG, Edit, GivenUp, too_long, unreached

CHUNK = 2**20
# Opening a pipe would block until it has a writer. Not every system has these flags.
HOW = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _open(path: Path) -> IO[bytes]:
    """Open a regular file only: reading from a pipe or a device might never end."""
    number = os.open(path, HOW)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise GivenUp(None, f"{path.name} is not a regular file")
    return os.fdopen(number, "rb")


class Folder:
    """See `Place`."""

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, str(root)

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            with _open(self.root / path) as file:
                content = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreached(self.url, error) from None
        if len(content) > limit:
            raise too_long(path, self.url, limit)
        return content

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        with _open(self.root / path) as file:
            file.seek(start)
            return file.read(end - start)

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """See `Place.publish`."""
        try:
            written = {path: source for path, source in blobs.items() if not self._is_young(path)}
            for path, source in written.items():
                self._copy(source, path)
            self.root.mkdir(parents=True, exist_ok=True)
            with self._lock(index):
                for path, source in written.items():
                    if not (self.root / path).is_file():  # it was old and unreferenced, and was collected meanwhile
                        self._copy(source, path)
                content = edit(self.read(index, limit))
                if content is not None:
                    self._write(io.BytesIO(content), self.root / index)
        except OSError as error:
            raise unreached(self.url, error) from None

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """See `Place.listing`."""
        for found in (self.root / below).rglob("*"):
            if found.is_file():
                about = found.stat()
                yield found.relative_to(self.root).as_posix(), about.st_size, about.st_mtime

    def remove(self, paths: list[str]) -> None:
        """See `Place.remove`."""
        with self._lock(INDEX):
            for path in paths:
                if not self._is_young(path):
                    (self.root / path).unlink(missing_ok=True)

    def _lock(self, index: str) -> FileLock:
        return FileLock(self.root / f"{index}.lock")

    def _is_young(self, path: str) -> bool:
        file = self.root / path
        return file.is_file() and time.time() - file.stat().st_mtime < YOUNG

    def _copy(self, source: Path, path: str) -> None:
        with source.open("rb") as file:
            self._write(file, self.root / path)

    def _write(self, source: IO[bytes], target: Path) -> None:
        """Write in one rename. Copies, not links: published files share no bytes with built ones."""
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / UNFINISHED).mkdir(exist_ok=True)
        fresh = self.root / UNFINISHED / f"{target.name}.{os.getpid()}"
        try:
            with fresh.open("wb") as out:
                shutil.copyfileobj(source, out, CHUNK)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
