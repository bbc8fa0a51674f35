"""Locations of a registry, and how each one changes a file so that concurrent writers lose nothing.

    folder    a lock of the operating system beside the file, released when its process dies, and a rename
    S3        conditional requests: If-Match with the tag that was read, If-None-Match for a new file
    Hub       a commit on the one that was read; the Hub refuses it if another came first
    OCI       nothing is ever changed: each change is a new tag, and a reader joins them (`oci_state`, `oci_claims`)
    HTTP      read only

A refused writer reads again and repeats the change on the new content.

The server is not trusted. No more of a body is read than was requested, it is never decompressed, and reading takes at
most `FILE_SECONDS` or `PART_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from targets.errors import first_line
from zoo.errors import RegistryError
from zoo.sanitize import one_line, without_secrets

# Seconds. An unreferenced file is garbage once it is a day old (`zoo.registry.publish.collect_garbage`). A publisher
# reuses only younger files than this, and so never one that is being removed.
YOUNG, GARBAGE = 3600.0, 86400.0
FILE_SECONDS, PART_SECONDS = 120.0, 600.0  # for a small file, and for a part of a large one: 7 kB/s suffices
UNFINISHED = "unfinished"  # folder of files without a final name; killed writers leave files here
CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    "hf": "Set HF_TOKEN, or run: hf auth login",
    "oci": "Run: docker login HOST, or oras login HOST; or set DOCKER_CONFIG",
}  # where credentials come from
Edit = Callable[[bytes | None], bytes | None]  # from the current content, if any, to the new one; None: no change


class GivenUp(OSError):
    """A failure that a retry would not change; `strerror` says why, in a line."""


class Later(OSError):
    """A failure that a retry may fix: at once, or after the `seconds` that the server said."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(None, why)
        self.seconds = seconds


class Place(Protocol):
    """A folder at some location. Paths are relative to it, with slashes."""

    url: str

    def read(self, path: str, limit: int) -> bytes | None:
        """Content of a small file; None if it does not exist. A busy server is asked again
        (`zoo.registry.places.patience`).

        Raises:
            RegistryError: it is longer than `limit` bytes, too slow (see `FILE_SECONDS`), or the place can't be
            reached.
        """

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end` of a file; fewer if it ends there or the connection broke, and never more.

        Where ranges are not supported, the file is read from its first byte each time, and unrequested bytes are
        dropped.

        Raises:
            GivenUp: it is too slow (see `PART_SECONDS`), or in a form that is not accepted.
            OSError: a retry may help.
            RegistryError: neither a retry nor a mirror would help; what comes with zoo is damaged.
        """

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """Write immutable files, each completely or not at all, and then change the index.

        Args:
            blobs: sources by path; an existing one is written again unless it is young (see `YOUNG`).
            index: path of a small file of at most `limit` bytes.
            edit: is called again with newer content if another writer was faster.

        Raises:
            RegistryError: the place can't be written.
        """

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """Path, size in bytes and modification time (s since 1970) of all files in a folder."""

    def remove(self, paths: list[str]) -> None:
        """Remove files, except those that a publisher has written again meanwhile."""


class Cut:
    """The requested bytes out of a body that arrives in pieces; no others are kept.

    Args:
        skip: bytes before the requested ones.
        count: number of requested bytes.
    """

    def __init__(self, skip: int, count: int) -> None:
        self._skip, self._count, self._kept = skip, count, bytearray()

    def add(self, piece: bytes) -> bool:
        """Add a piece; return whether all requested bytes are here."""
        self._kept += piece[self._skip : self._skip + self._count - len(self._kept)]
        self._skip = max(0, self._skip - len(piece))
        return len(self._kept) == self._count

    @property
    def content(self) -> bytes:
        """The bytes that arrived so far."""
        return bytes(self._kept)


def said(text: str, limit: int = 500) -> str:
    """A server's text, made fit for a line in a terminal."""
    return without_secrets(one_line(text))[:limit]


def check_plain(encoding: str | None) -> None:
    """Refuse a compressed body: a small one may decompress to any size.

    Args:
        encoding: its Content-Encoding.

    Raises:
        GivenUp: it is compressed.
    """
    if encoding and encoding.strip().lower() != "identity":
        raise GivenUp(None, f"the server compresses its response ({said(encoding, 100)})")


def check_redirects(urls: Iterable[str]) -> None:
    """Refuse a response that came without TLS although TLS was requested.

    Args:
        urls: requested URLs, in order.

    Raises:
        GivenUp: one with https redirected to one without.
    """
    safe = False
    for url in urls:
        before, safe = safe, url.lower().startswith("https:")
        if before and not safe:
            raise GivenUp(None, "the server redirects from https to http, where anyone could change the content")


def too_slow(seconds: float) -> GivenUp:
    """The error of a transfer that takes longer than the limit."""
    return GivenUp(None, f"the transfer took longer than {seconds:g} s")


def unreached(url: str, error: Exception) -> RegistryError:
    """The error of a registry that can't be used, in a line."""
    why = said(getattr(error, "strerror", None) or first_line(error))
    return RegistryError(f"the registry {url} can't be used: {why}. Check address, network and permissions.")


def too_long(path: str, url: str, limit: int) -> RegistryError:
    """The error of a file that should be small and is not."""
    return RegistryError(f"{path} of {url} exceeds the limit of {limit / 1e6:.0f} MB for such a file. Refused.")
