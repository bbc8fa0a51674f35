"""A registry in a bucket of S3, or of any compatible server with conditional writes.

Credentials and endpoint come from where all AWS tools look: environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`),
~/.aws, or the machine's role. botocore retries on a busy server (`AWS_MAX_ATTEMPTS`).
Source: Amazon S3 User Guide, "Conditional requests"; s3fs, API Reference.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from targets.installing import install_command
from zoo.errors import RegistryError
from zoo.registry.places.place import (
    FILE_SECONDS,
    PART_SECONDS,
    YOUNG,
    Cut,
    Edit,
    check_plain,
    said,
    too_long,
    too_slow,
    unreached,
)

logger = logging.getLogger(__name__)
ATTEMPTS = 60  # of a change that other writers overtake
PIECE = 2**16  # bytes of a body per read
LOST_RACE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


def _code(error: BaseException) -> str:
    """The server's error code."""
    answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


async def _up_to(body: Any, cut: Cut) -> bytes:
    """The requested part of a body; its connection is then closed, unless the body ended there."""
    try:
        async with body:
            async for piece in body.iter_chunks(PIECE):
                if cut.add(piece):
                    break
    except asyncio.TimeoutError:  # not to be confused with our own timeout, see `too_slow`
        raise OSError(None, "the server stopped sending") from None
    return cut.content


class S3:
    """See `Place`."""

    def __init__(self, url: str) -> None:
        try:
            import s3fs
            from botocore.exceptions import BotoCoreError
        except ModuleNotFoundError:
            raise RegistryError(f"registries in S3 need s3fs. Run: {install_command('s3')}") from None
        self._errors = (OSError, BotoCoreError)  # the second: no credentials, unknown profile, unreachable endpoint
        self.url = url.rstrip("/")
        if not self.url.removeprefix("s3:").strip("/"):
            raise RegistryError(f"{url} names no bucket. Write s3://BUCKET/FOLDER.")
        self._root = self.url.partition("://")[2]
        self._files: Any = s3fs.S3FileSystem(use_listings_cache=False)

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Place.read`."""
        try:
            return self._read(path, limit)[0]
        except self._errors as error:
            raise unreached(self.url, error) from None

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """See `Place.fetch`."""
        return self._get(path, start, end, PART_SECONDS, Range=f"bytes={start}-{end - 1}")[0]

    def publish(self, blobs: Mapping[str, Path], index: str, limit: int, edit: Edit) -> None:
        """See `Place.publish`."""
        try:
            written = {path: source for path, source in blobs.items() if not self._is_young(path)}
            for path, source in written.items():
                self._files.put_file(str(source), f"{self._root}/{path}")
            self._change(index, limit, edit)
            for path, source in written.items():
                if not self._is_young(path):  # it was old and unreferenced, and was collected meanwhile
                    self._files.put_file(str(source), f"{self._root}/{path}")
        except self._errors as error:
            raise unreached(self.url, error) from None

    def listing(self, below: str) -> Iterator[tuple[str, int, float]]:
        """See `Place.listing`."""
        try:
            found = self._files.find(f"{self._root}/{below}", detail=True)
        except self._errors as error:
            raise unreached(self.url, error) from None
        for name, about in found.items():
            yield name.removeprefix(f"{self._root}/"), about["size"], about["LastModified"].timestamp()

    def remove(self, paths: list[str]) -> None:
        """See `Place.remove`."""
        try:
            if old := [f"{self._root}/{path}" for path in paths if not self._is_young(path)]:
                self._files.rm(old)
        except self._errors as error:
            raise unreached(self.url, error) from None

    def _is_young(self, path: str) -> bool:
        try:
            changed = self._files.info(f"{self._root}/{path}", refresh=True)["LastModified"]
        except FileNotFoundError:
            return False
        return bool(time.time() - changed.timestamp() < YOUNG)

    def _read(self, path: str, limit: int) -> tuple[bytes | None, str | None]:
        """Content and tag, from the same request."""
        try:
            content, tag = self._get(path, 0, limit + 1, FILE_SECONDS)
        except FileNotFoundError:
            return None, None
        if len(content) > limit:
            raise too_long(path, self.url, limit)
        return content, tag

    def _get(self, path: str, start: int, end: int, seconds: float, **asked: str) -> tuple[bytes, str]:
        """Bytes from `start` up to `end`, and the file's tag; `seconds` limits the response, and then its body."""
        bucket, key, _ = self._files.split_path(f"{self._root}/{path}")
        try:
            logger.debug("GET %s/%s from byte %d", self.url, path, start)
            answer = self._files.call_s3("get_object", Bucket=bucket, Key=key, timeout=seconds, **asked)
            check_plain(answer.get("ContentEncoding"))
            cut = Cut(0 if "ContentRange" in answer else start, end - start)
            content: bytes = sync(self._files.loop, _up_to, answer["Body"], cut, timeout=seconds)
            return content, str(answer.get("ETag", ""))
        except FSTimeoutError:
            raise too_slow(seconds) from None
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - errors of botocore and of its HTTP library
            raise OSError(None, said(str(error)) or type(error).__name__) from None

    def _change(self, path: str, limit: int, edit: Edit) -> None:
        for attempt in range(ATTEMPTS):
            before, tag = self._read(path, limit)
            content = edit(before)
            if content is None or self._write_if(path, content, tag):
                if content is not None and before is None:
                    self._check_conditions(path, content)
                return
            time.sleep(random.uniform(0, min(2.0, 0.02 * 2**attempt)))
        raise RegistryError(f"other writers of {self.url} were faster {ATTEMPTS} times. Run the command again.")

    def _write_if(self, path: str, content: bytes, tag: str | None) -> bool:
        """Write if the file is unchanged since it was read; return whether it was."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        logger.debug("PUT %s/%s if %s", self.url, path, "it is missing" if tag is None else "unchanged")
        try:
            self._files.pipe_file(f"{self._root}/{path}", content, **condition)
        except OSError as error:
            if isinstance(error, FileExistsError) or _code(error) in LOST_RACE:
                return False
            raise
        return True

    def _check_conditions(self, path: str, content: bytes) -> None:
        """Refuse a server that ignores conditions: it would lose releases of concurrent writers."""
        if self._write_if(path, content, None):
            self._files.rm_file(f"{self._root}/{path}")
            raise RegistryError(
                f"{self.url} ignores conditional writes (If-None-Match), so concurrent publishers could lose releases. "
                "Nothing was published. Use a server that supports them (Amazon S3, SeaweedFS), or a folder."
            )
