"""Whether the images of a gallery are unchanged since they were embedded.

A file counts as unchanged while its size and modification time are the same; if only the time differs, its content
decides. Results are always checked by content, since a file may change and have its time reset.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.progress import Progress
from targets.files import sha256

CHANGED, GONE = "changed", "gone"


@dataclass(frozen=True)
class File:
    """State of an image's file when it was embedded."""

    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Stale:
    """An image that changed since it was embedded."""

    path: str
    why: str


def why_stale(path: Path, was: File) -> str:
    """Why an image is stale, by its content; empty if it is not."""
    try:
        return "" if sha256(path) == was.sha256 else CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return f"can't be read: {error.strerror}"


def _state(path: Path, was: File) -> str | None:
    """Why it is stale, by size and time; None if the content has to decide."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a gallery may have fifty thousand images
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError as error:
        return f"can't be read: {error.strerror}"
    if stat.st_size != was.size_bytes:
        return CHANGED
    return "" if stat.st_mtime_ns == was.mtime_ns else None


class Unchanged:
    """Checks the images of a gallery below `folder`; stale ones are in `stale`, by index.

    Args:
        paths, files: of the gallery.
    """

    def __init__(self, folder: Path, paths: tuple[str, ...], files: tuple[File, ...], progress: Progress) -> None:
        self._folder, self._paths, self._files = folder, paths, files
        self.stale: dict[int, Stale] = {}
        known = [_state(folder / path, was) for path, was in zip(paths, files, strict=True)]
        doubtful = [place for place, why in enumerate(known) if why is None]
        for place, why in enumerate(known):
            self._note(place, why or "")
        if doubtful:
            with progress.bar("checking", len(doubtful)) as bar, ThreadPoolExecutor() as pool:
                for place, why in zip(doubtful, pool.map(self._read, doubtful), strict=True):
                    self._note(place, why)
                    bar.advance()

    def _read(self, place: int) -> str:
        return why_stale(self._folder / self._paths[place], self._files[place])

    def _note(self, place: int, why: str) -> None:
        if why:
            self.stale[place] = Stale(self._paths[place], why)

    def among(self, places: Iterator[int]) -> Iterator[int]:
        """Those of some indices whose images are unchanged, by content."""
        for place in places:
            if place not in self.stale:
                self._note(place, self._read(place))
            if place not in self.stale:
                yield place
