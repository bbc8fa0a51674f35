"""Reads a request into the bytes of its images, within the limits: of size, of number, of time, and of all requests
together.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from zoo.serve.limits import MIB, Limits
from zoo.serve.pictures import MEDIA_TYPES
from zoo.serve.refusal import Refusal

if TYPE_CHECKING:
    from aiohttp import BodyPartReader
    from aiohttp.web import Request

CHUNK = 64 * 1024  # bytes
MULTIPART = "multipart/form-data"
RAW = (*MEDIA_TYPES, "image/jpg", "application/octet-stream")


class Buffer:
    """Memory for the bodies of all requests together, bytes."""

    def __init__(self, most: int) -> None:
        self._most, self.used = most, 0

    def take(self, count: int) -> None:
        """Count bytes that are held from now on.

        Raises:
            Refusal: other requests take all.
        """
        if self.used + count > self._most:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "buffer",
                "The server is busy.",
                f"Requests that are being received fill its {self._most // MIB} MiB.",
                "Send it again after Retry-After seconds.",
                1,
                close=True,
            )
        self.used += count

    def give(self, count: int) -> None:
        """These bytes are no longer held."""
        self.used -= count


class Body:
    """The images of a request. As a context manager it gives its memory back."""

    def __init__(self, request: Request, limits: Limits, buffer: Buffer) -> None:
        self._request, self._limits, self._buffer, self._held = request, limits, buffer, 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._buffer.give(self._held)
        self._held = 0

    def _too_long(self) -> Refusal:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body",
            "The body is too large.",
            f"The limit is {self._limits.body_mib} MiB.",
            "Send fewer images in a request, or smaller ones.",
            close=True,
        )

    def _hold(self) -> None:
        received = self._request.content.total_bytes
        if received > self._limits.body_bytes:
            raise self._too_long()
        self._take(received - self._held)

    def _take(self, count: int) -> None:
        if count > 0:
            self._buffer.take(count)
            self._held += count

    def _check_head(self) -> None:
        request = self._request
        kind = request.content_type if "Content-Type" in request.headers else RAW[0]
        if kind != MULTIPART and kind not in RAW:
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "type",
                f"The content type {kind} is not supported.",
                f"A body is an image ({', '.join(MEDIA_TYPES)}) or a form with several ({MULTIPART}).",
                "Set Content-Type to one of these.",
                close=True,
            )
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "type",
                "A compressed body is not supported.",
                "Images are compressed already.",
                "Leave out Content-Encoding.",
                close=True,
            )
        length = request.content_length or 0
        if length > self._limits.body_bytes:
            raise self._too_long()
        self._take(length)  # at once: many requests that each got a part of the memory would all fail

    async def read(self) -> list[bytes]:
        """The bytes of each image, in order.

        Raises:
            Refusal: a limit is exceeded, or the body is not of a supported form.
        """
        self._check_head()
        read = self._read_parts if self._request.content_type == MULTIPART else self._read_whole
        try:
            return await asyncio.wait_for(read(), self._limits.receive_seconds)
        except asyncio.TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                "timeout",
                "The body did not arrive in time.",
                f"The limit is {self._limits.receive_seconds:g} s.",
                "Send smaller images, or use a faster connection.",
                close=True,
            ) from None

    async def _read_whole(self) -> list[bytes]:
        content = bytearray()
        async for chunk in self._request.content.iter_chunked(CHUNK):
            self._hold()
            content += chunk
        return [bytes(content)]

    async def _read_parts(self) -> list[bytes]:
        from aiohttp import BodyPartReader
        from aiohttp.http_exceptions import HttpProcessingError

        found: list[bytes] = []
        try:
            parts = await self._request.multipart()
            while (part := await parts.next()) is not None:
                if not isinstance(part, BodyPartReader):
                    raise ValueError("a part is itself in parts")
                if len(found) == self._limits.images:
                    raise Refusal(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "images",
                        "The request has too many images.",
                        f"The limit is {self._limits.images}.",
                        "Send the others in further requests.",
                        close=True,
                    )
                found.append(await self._read_part(part))
        except (ValueError, AssertionError, RuntimeError, HttpProcessingError):  # all of these on malformed parts
            raise Refusal(
                HTTPStatus.BAD_REQUEST,
                "form",
                "The form can't be read.",
                f"The body is not {MULTIPART} as RFC 7578 defines it, or was cut off.",
                "Let an HTTP library write the form, with one file for each image.",
                close=True,
            ) from None
        if not found:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "image",
                "The form has no image.",
                "It has no parts.",
                "Add one file for each image.",
            )
        return found

    async def _read_part(self, part: BodyPartReader) -> bytes:
        content = bytearray()
        while chunk := await part.read_chunk(CHUNK):
            self._hold()
            content += chunk
        return bytes(content)
