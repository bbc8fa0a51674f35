"""Requests in progress, which are answered before the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Drain:
    """Counts requests, and waits for the last one.

    aiohttp's own shutdown receives nothing more, so a request whose body is still on its way would fail.

    Attributes:
        ending: whether the server was told to end.
    """

    def __init__(self) -> None:
        self.ending, self._active, self._idle = False, 0, asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request in progress."""
        self._active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def end(self, seconds: float) -> None:
        """Wait for all requests, but no longer than that."""
        self.ending = True
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
