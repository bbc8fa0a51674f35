"""Where a registry lies, and how each place changes one file so that two writers at once lose nothing.

    folder    a lock of the system's beside the file, let go when its process dies; and a rename
    S3        conditional requests: If-Match with the tag that was read, If-None-Match where there was nothing
    Hub       a commit on the one that was read; the Hub refuses it if another came first
    HTTP      read only

Who was refused reads again, and repeats the change on what is there by now.

Who serves a place is not trusted. Of a body no more is read than was asked for, as it comes and never unpacked; and not
for longer than `FILE_SECONDS` or `PART_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from targets.errors import first_line
from zoo.errors import RegistryError
from zoo.sanitize import one_line, without_secrets

# Seconds. What nothing refers to is garbage once it is a day old (`zoo.registry.publish.collect_garbage`): a publisher
# relies only on what is younger than this, and so never on what is being removed.
YOUNG, GARBAGE = 3600.0, 86400.0
FILE_SECONDS, PART_SECONDS = 120.0, 600.0  # for a small file, and for a part of a large one: 7 kB/s will do
UNFINISHED = "unfinished"  # folder of files that have no name yet; of writers that were killed, in the end
CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    "hf": "Set HF_TOKEN, or run: hf auth login",
}  # where they are taken from
Edit = Callable[[bytes | None], bytes | None]  # from what is there, none if nothing is; none if nothing is to change


class GivenUp(OSError):
    """What the same place would do again, if it were asked again; `strerror` says why, in a line."""


class Later(OSError):
    """What may go well if it is asked again: now, or in so many `seconds` as the server said."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(None, why)
        self.seconds = seconds


class Place(Protocol):
    """A folder somewhere. Paths are relative to it, with slashes."""

    url: str

    def read(self, path: str, limit: int) -> bytes | None:
        """Content of a small file; none if it is not there. A server that is busy is asked again
        (`zoo.registry.places.patience`).

        Raises:
            RegistryError: it is longer than `limit` bytes, comes too slowly (see `FILE_SECONDS`), or the place can't be
                reached.
        """

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """Bytes from `start` to before `end` of a file; fewer if it ends there or the connection broke, and never more.

        A place that can't give parts is read from the file's first byte each time, and what was not asked for is
        dropped as it comes.

        Raises:
            GivenUp: it comes too slowly (see `PART_SECONDS`), or as nothing that is taken.
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
    """The place of a URL or a folder's path. Its `url` is what may be shown: without user, password and query.

    Raises:
        RegistryError: no such kind of place is known, what reaches it is not installed, or the URL holds credentials
            that it has no use for.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower() if mark else "file"
    if scheme == "file":
        from zoo.registry.places.folder import Folder

        return Folder(Path(url.removeprefix("file://")).expanduser())
    if scheme in ("http", "https"):
        from zoo.registry.places.web import Web

        return Web(url)
    if scheme in CREDENTIALS and ("@" in rest.partition("/")[0] or "?" in rest):
        raise RegistryError(
            f"an address with {scheme}:// has no room for user, password or signature. {CREDENTIALS[scheme]}"
        )
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


class Cut:
    """Bytes that were asked for, out of a body that comes in pieces; no others are kept.

    Args:
        skip: bytes before them.
        count: how many they are.
    """

    def __init__(self, skip: int, count: int) -> None:
        self._skip, self._count, self._kept = skip, count, bytearray()

    def add(self, piece: bytes) -> bool:
        """Whether all of them are here, so that no other piece is needed."""
        self._kept += piece[self._skip : self._skip + self._count - len(self._kept)]
        self._skip = max(0, self._skip - len(piece))
        return len(self._kept) == self._count

    @property
    def content(self) -> bytes:
        """What is here so far."""
        return bytes(self._kept)


def said(text: str, limit: int = 500) -> str:
    """What a server said, fit for a line on a terminal."""
    return without_secrets(one_line(text))[:limit]


def check_plain(encoding: str | None) -> None:
    """Refuse a body that is packed: a small one may unpack to any size.

    Args:
        encoding: its Content-Encoding.

    Raises:
        GivenUp: it is packed.
    """
    if encoding and encoding.strip().lower() != "identity":
        raise GivenUp(None, f"the server packs what it sends ({said(encoding, 100)})")


def check_redirects(urls: Iterable[str]) -> None:
    """Refuse an answer that came without TLS though it was asked for with it.

    Args:
        urls: those that were asked, one after the other.

    Raises:
        GivenUp: one with https led to one without.
    """
    safe = False
    for url in urls:
        before, safe = safe, url.lower().startswith("https:")
        if before and not safe:
            raise GivenUp(None, "the server redirects from https to http, where anyone could change what comes")


def too_slow(seconds: float) -> GivenUp:
    """It would have taken longer than is waited for."""
    return GivenUp(None, f"what was asked for did not come within {seconds:g} s")


def unreached(url: str, error: Exception) -> RegistryError:
    """A registry could not be used; in a line."""
    why = said(getattr(error, "strerror", None) or first_line(error))
    return RegistryError(f"the registry {url} can't be used: {why}. Check its address, your network and your rights.")


def too_long(path: str, url: str, limit: int) -> RegistryError:
    """A small file is none."""
    return RegistryError(f"{path} of {url} is longer than {limit / 1e6:.0f} MB, which no such file is. Refused.")
