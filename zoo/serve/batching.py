"""Dynamic batching: images of several requests are embedded at once.

While a batch computes, images arrive; they are the next batch. A batch that is not full waits a moment, but only while
images that were accepted are still being decoded: a lone client never waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np

from targets.errors import first_line
from zoo.errors import ImageError
from zoo.serve.refusal import Refusal

Compute = Callable[[np.ndarray], np.ndarray]
Observe = Callable[[int, float], None]
USUAL = 100.0  # images per second, before anything was measured
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiting:
    pixels: np.ndarray
    row: asyncio.Future[np.ndarray]


class Admission:
    """Places in the queue for the images of a request, from before they are decoded until they are answered."""

    def __init__(self, batcher: Batcher, images: int) -> None:
        self._batcher, self._images, self._coming = batcher, images, images

    def __enter__(self) -> Admission:
        self._batcher.accepted += self._images
        self._batcher.coming += self._images
        return self

    def __exit__(self, *_: object) -> None:
        self._batcher.accepted -= self._images
        self._batcher.coming -= self._coming
        self._batcher.wake()

    async def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Embed one of the images: uint8 H×W×3 → float32 D.

        Raises:
            ImageError: its embedding is not finite.
            Exception: whatever the runtime raises.
        """
        self._coming -= 1
        self._batcher.coming -= 1
        return await self._batcher.put(pixels)


class Batcher:
    """Embeds images in batches, in the order in which they come.

    Args:
        compute: uint8 N×H×W×3 → float32 N×D; runs in a thread of its own, one call at a time.
        batch: images at once.
        wait_seconds: how long a batch waits for accepted images that are being decoded.
        queue: images that are accepted at the same time.

    Attributes:
        observe: is told of each batch: number of images, and seconds.
        accepted: images that are being decoded, wait, or are computed.
        coming: those of them that are being decoded.
        failure: why the last batch failed; empty if it did not.
    """

    def __init__(self, compute: Compute, batch: int, wait_seconds: float, queue: int) -> None:
        self._compute, self._batch, self._wait, self._queue = compute, batch, wait_seconds, queue
        self.observe: Observe = lambda *_: None
        self._speed = USUAL
        self._waiting: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._thread: Executor = ThreadPoolExecutor(1, "embed")
        self.accepted = self.coming = 0
        self.failure = ""

    def check_room(self, images: int = 1) -> None:
        """Check that a request with so many images would be accepted now.

        Raises:
            Refusal: the queue is full.
        """
        if self.accepted + images > self._queue:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "queue",
                "The server is busy.",
                f"The queue holds {self._queue} images, and {self.accepted} wait.",
                "Send it again after Retry-After seconds.",
                self.accepted / self._speed,
            )

    def admit(self, images: int) -> Admission:
        """Places for the images of a request, for a `with` block.

        Raises:
            Refusal: the queue is full.
        """
        self.check_room(images)
        return Admission(self, images)

    def wake(self) -> None:
        """Look again at what waits and what comes."""
        self._changed.set()

    async def put(self, pixels: np.ndarray) -> np.ndarray:
        """See `Admission.embed`."""
        one = _Waiting(pixels, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self.wake()
        try:
            return await one.row
        except asyncio.CancelledError:  # the client is gone
            with suppress(ValueError):
                self._waiting.remove(one)
            raise

    async def run(self) -> None:
        """Embed what comes, until cancelled."""
        try:
            while True:
                while not self._waiting:
                    await self._change(None)
                await self._fill()
                count = min(self._batch, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
                await self._embed(batch)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _change(self, seconds: float | None) -> None:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except asyncio.TimeoutError:
            return

    async def _fill(self) -> None:
        end = time.monotonic() + self._wait
        while len(self._waiting) < self._batch and self.coming and (left := end - time.monotonic()) > 0:
            await self._change(left)

    async def _embed(self, batch: list[_Waiting]) -> None:
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        try:
            rows = await loop.run_in_executor(self._thread, self._compute, np.stack([one.pixels for one in batch]))
        except ImageError as error:
            if len(batch) > 1:  # only the request with the bad image fails
                for one in batch:
                    await self._embed([one])
            elif not batch[0].row.done():
                batch[0].row.set_exception(error)
            return
        except Exception as error:  # noqa: BLE001 - a runtime may raise anything; the requests of this batch fail
            self.failure = first_line(error)
            logger.warning("a batch of %d images failed: %s", len(batch), self.failure)
            for one in batch:
                if not one.row.done():
                    one.row.set_exception(error)
            return
        seconds = time.monotonic() - begun
        self.failure = ""
        self._speed += 0.1 * (len(batch) / max(seconds, 1e-6) - self._speed)
        self.observe(len(batch), seconds)
        for one, row in zip(batch, rows, strict=True):
            if not one.row.done():
                one.row.set_result(row)
