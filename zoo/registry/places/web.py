"""A registry behind HTTP or HTTPS: any server that gives files. Read only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
from fsspec.asyn import sync

from zoo.errors import RegistryError
from zoo.registry.places import Edit, too_long, unreached

CONNECT_SECONDS, SILENT_SECONDS = 20, 60


class _TooLong(OSError):
    """A server gives more than was asked for."""


class Web:
    """See `Place`. Bodies are taken as they come: nothing is unpacked, and no more is read than was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        self._files = fsspec.filesystem(
            "http", client_kwargs={"auto_decompress": False, "timeout": timeout, "trust_env": True}
        )

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            content: bytes = sync(self._files.loop, self._get, path, 0, None, limit)
        except FileNotFoundError:
            return None
        except _TooLong:
            raise too_long(path, self.url, limit) from None
        except OSError as error:
            raise unreached(self.url, error) from None
        return content

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        content: bytes = sync(self._files.loop, self._get, path, start, end, end)
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

    async def _get(self, path: str, start: int, end: int | None, limit: int) -> bytes:
        """A body from `start` on; if the server gives no parts it is cut here."""
        headers = {"Accept-Encoding": "identity"}
        if end is not None:
            headers["Range"] = f"bytes={start}-{end - 1}"
        session: Any = await self._files.set_session()
        try:
            async with session.get(f"{self.url}/{path}", headers=headers) as answer:
                if answer.status in (404, 410):
                    raise FileNotFoundError(path)
                if answer.status not in (200, 206):
                    raise OSError(None, f"HTTP {answer.status} {answer.reason}")
                if (encoding := answer.headers.get("Content-Encoding", "identity")) not in ("", "identity"):
                    raise OSError(None, f"the server packs what it sends ({encoding})")
                whole = answer.status == 200 and end is not None
                parts, size = [], 0
                async for part in answer.content.iter_any():
                    parts.append(part)
                    size += len(part)
                    if not whole and size > limit - (start if end is not None else 0):
                        raise _TooLong(None, "the server gives more than was asked for")
                content = b"".join(parts)
                return content[start:] if whole else content
        except aiohttp.ClientError as error:
            raise OSError(None, str(error) or type(error).__name__) from None
