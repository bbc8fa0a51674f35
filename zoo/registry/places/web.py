"""A registry behind HTTP or HTTPS: any server that gives files. Read only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
from fsspec.asyn import sync

from zoo.errors import RegistryError
from zoo.registry.places import (
    FILE_SECONDS,
    PART_SECONDS,
    Cut,
    Edit,
    check_plain,
    check_redirects,
    said,
    too_long,
    too_slow,
    unreached,
)

CONNECT_SECONDS, SILENT_SECONDS = 20, 60


def _check(answer: Any, path: str) -> None:
    """Refuse an answer before its body is read."""
    check_redirects(str(one.url) for one in (*answer.history, answer))
    if answer.status in (404, 410):
        raise FileNotFoundError(path)
    if answer.status not in (200, 206):
        raise OSError(None, f"HTTP {answer.status} {said(answer.reason or '', 100)}".rstrip())
    check_plain(answer.headers.get("Content-Encoding"))


class Web:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files = fsspec.filesystem("http", client_kwargs={"auto_decompress": False, "trust_env": True})

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            content: bytes = sync(self._files.loop, self._get, path, 0, limit + 1, {}, FILE_SECONDS)
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

    def _read_only(self) -> RegistryError:
        return RegistryError(
            f"{self.url} can be read only. Publish to the folder or bucket behind it: --registry, or ZOO_REGISTRY."
        )

    async def _get(self, path: str, start: int, end: int, headers: Mapping[str, str], seconds: float) -> bytes:
        """Bytes from `start` to before `end`; what a server gives besides is not waited for."""
        session: Any = await self._files.set_session()
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            async with session.get(f"{self.url}/{path}", headers=headers, timeout=timeout) as answer:
                _check(answer, path)
                cut = Cut(0 if answer.status == 206 else start, end - start)
                async for piece in answer.content.iter_any():
                    if cut.add(piece):
                        answer.close()
                        break
                return cut.content
        except aiohttp.ClientError as error:
            raise OSError(None, said(str(error)) or type(error).__name__) from None
        except asyncio.TimeoutError:
            raise too_slow(seconds) from None
