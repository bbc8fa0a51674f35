"""Where a registry lies, and how each place changes one file so that two writers at once lose nothing.

    folder    a lock of the system's beside the file, let go when its process dies; and a rename
    S3        conditional requests: If-Match with the tag that was read, If-None-Match where there was nothing
    Hub       a commit on the one that was read; the Hub refuses it if another came first
    HTTP      read only

Who was refused reads again, and repeats the change on what is there by now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from zoo.errors import RegistryError

# Seconds. What nothing refers to is garbage once it is a day old (`zoo.registry.publish.collect_garbage`): a publisher
# relies only on what is younger than this, and so never on what is being removed.
YOUNG, GARBAGE = 3600.0, 86400.0
UNFINISHED = "unfinished"  # folder of files that have no name yet; of writers that were killed, in the end
Edit = Callable[[bytes | None], bytes | None]  # from what is there, none if nothing is; none if nothing is to change


class Place(Protocol):
    """A folder somewhere. Paths are relative to it, with slashes."""

    url: str

    def read(self, path: str, limit: int) -> bytes | None:
        """Content of a small file; none if it is not there.

        Raises:
            RegistryError: it is longer than `limit` bytes, or the place can't be reached.
        """

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """Bytes from `start` to before `end` of a file. More, up to the file's end, if the place can't give parts.

        Raises:
            OSError: not now.
        """

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """Write files that never change, each whole or not at all, and then change the index.

        Args:
            blobs: sources by path; one that is there already is written again unless it is young (see `YOUNG`).
            index: path of a small file, of at most `limit` bytes.
            edit: is called again on newer content if another writer was faster.

        Raises:
            RegistryError: the place can't be written.
        """

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """Path, size in bytes and time of change (s since 1970) of all files in a folder."""

    def remove(self, paths: list[str]) -> None:
        """Remove files, but for those that a publisher has written again meanwhile."""


def open_place(url: str) -> Place:
    """The place of a URL or a folder's path.

    Raises:
        RegistryError: no such kind of place is known, or what reaches it is not installed.
    """
    scheme, mark, _ = url.partition("://")
    scheme = scheme.lower() if mark else "file"
    if scheme == "file":
        from zoo.registry.places.folder import Folder

        return Folder(Path(url.removeprefix("file://")).expanduser())
    if scheme in ("http", "https"):
        from zoo.registry.places.web import Web

        return Web(url)
    if scheme == "s3":
        from zoo.registry.places.s3 import S3

        return S3(url)
    if scheme == "hf":
        from zoo.registry.places.hub import Hub

        return Hub(url)
    raise RegistryError(
        f"no registry can be at {scheme}://. Name a folder, http:// or https:// (read only), s3://BUCKET/FOLDER, or "
        "hf://datasets/OWNER/NAME."
    )


def unreached(url: str, error: BaseException) -> RegistryError:
    """A registry could not be used; in a line."""
    why = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [type(error).__name__])[0]
    return RegistryError(f"the registry {url} can't be used: {why}. Check its address, your network and your rights.")


def too_long(path: str, url: str, limit: int) -> RegistryError:
    """A small file is none."""
    return RegistryError(f"{path} of {url} is longer than {limit / 1e6:.0f} MB, which no such file is. Refused.")
