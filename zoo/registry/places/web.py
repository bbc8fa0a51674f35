"""A registry over HTTP or HTTPS, on any server of static files. Read only.

Its URL may hold user and password, or a signature of the folder (`?sig=…`). They go to that server only: not to another
host that it redirects to, and into no message.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import fsspec
from fsspec.asyn import sync
from yarl import URL

from zoo.errors import RegistryError
from zoo.registry.places import (
    FILE_SECONDS,
    PART_SECONDS,
    Cut,
    Edit,
    Later,
    check_plain,
    check_redirects,
    said,
    too_long,
    too_slow,
    unreached,
)
from zoo.registry.places.patience import patiently, refusal

logger = logging.getLogger(__name__)
CONNECT_SECONDS, SILENT_SECONDS = 20, 60


def _check(answer: Any, path: str) -> None:
    """Refuse a response before its body is read."""
    check_redirects(str(one.url) for one in (*answer.history, answer))
    if answer.status in (404, 410):
        raise FileNotFoundError(path)
    if answer.status not in (200, 206):
        raise refusal(answer.status, f"HTTP {answer.status} {said(answer.reason or '', 100)}".rstrip(), answer.headers)
    check_plain(answer.headers.get("Content-Encoding"))


class Web:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            where = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            where = f"{where}:{parts.port}" if parts.port is not None else where
        except ValueError:
            where = None
        if not where or parts.fragment:  # not shown: any part may be secret
            raise RegistryError(
                "the address of the registry is not valid. Write https://HOST/FOLDER, optionally with ?SIGNATURE."
            )
        self.url = urlunsplit((parts.scheme, where, parts.path.rstrip("/"), "", ""))
        self._query = parts.query  # a signature, sent with every request below
        user, at, _ = parts.netloc.rpartition("@")
        name, _, password = user.partition(":")
        plain = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Basic {plain}"} if at else {})
        self._files = fsspec.filesystem("http", client_kwargs={"auto_decompress": False, "trust_env": True})

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            content: bytes = patiently(lambda: sync(self._files.loop, self._get, path, 0, limit + 1, {}, FILE_SECONDS))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreached(self.url, error) from None
        if len(content) > limit:
            raise too_long(path, self.url, limit)
        return content

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        part = {"Range": f"bytes={start}-{end - 1}"}
        content: bytes = sync(self._files.loop, self._get, path, start, end, part, PART_SECONDS)
        return content

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:  # noqa: ARG002
        """See `Place.publish`."""
        raise self._read_only()

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:  # noqa: ARG002
        """See `Place.listing`."""
        raise self._read_only()

    def remove(self, paths: list[str]) -> None:  # noqa: ARG002
        """See `Place.remove`."""
        raise self._read_only()

    def _at(self, path: str) -> URL:
        plain = URL(f"{self.url}/{path}")
        return URL(f"{plain}?{self._query}", encoded=True) if self._query else plain

    def _read_only(self) -> RegistryError:
        return RegistryError(
            f"{self.url} is read only. Publish to the folder or bucket that it serves: --registry, or ZOO_REGISTRY."
        )

    async def _get(self, path: str, start: int, end: int, headers: Mapping[str, str], seconds: float) -> bytes:
        """Bytes from `start` up to `end`; more than that is not waited for."""
        session: Any = await self._files.set_session()
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        headers = {**self._headers, **headers}
        try:
            async with session.get(self._at(path), headers=headers, timeout=timeout) as answer:
                logger.debug("GET %s/%s from byte %d: HTTP %d", self.url, path, start, answer.status)
                _check(answer, path)
                cut = Cut(0 if answer.status == 206 else start, end - start)
                async for piece in answer.content.iter_any():
                    if cut.add(piece):
                        answer.close()
                        break
                return cut.content
        except aiohttp.ClientConnectorError as error:  # no server there
            raise OSError(None, said(str(error)) or type(error).__name__) from None
        except aiohttp.ClientError as error:  # the connection was closed
            raise Later(said(str(error)) or type(error).__name__) from None
        except asyncio.TimeoutError:
            raise too_slow(seconds) from None
