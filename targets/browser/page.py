"""One browser with one page for all networks of this process; it ends with the last of them, and with the process."""

from __future__ import annotations

import atexit
import logging
import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from targets.browser import chromium
from targets.browser.server import Answer, Server
from targets.errors import ArtifactFailed, Unusable, shorten

logger = logging.getLogger("zoo.targets")

START_SECONDS = 60.0  # a cold start on a slow board
_lock = RLock()
_shared: tuple[int, Page] | None = None  # with the process that started it: a fork can't use it


@dataclass(frozen=True)
class Told:
    """What a page says of its browser.

    Attributes:
        browser: name and version.
        isolated: whether the page may use threads.
        clock_us: resolution of its clock, µs.
    """

    browser: str
    isolated: bool
    clock_us: int


class Page:
    """A browser with the page, started.

    Raises:
        Unusable: the browser does not start, or the page does not run in it.
    """

    def __init__(self, program: Path) -> None:
        self._closed = False
        self._numbers, self._live = count(1), set[int]()
        self._server = Server()
        try:
            self._browser = chromium.Chromium(program, self._server.url)
        except Unusable:
            self._server.close()
            raise
        self._until = time.monotonic() + START_SECONDS
        try:
            answer, _ = self._server.ask({"do": "tell"}, b"", self._starts)
        except BaseException:
            self.close()
            raise
        self.told = Told(str(answer["browser"]), bool(answer["isolated"]), int(answer["clock_us"]))
        logger.debug("%s runs as process %d: %s", program, self.process, self.told)

    @property
    def process(self) -> int:
        """Id of the browser's first process."""
        return self._browser.process.pid

    @property
    def running(self) -> bool:
        """Whether the page is still there."""
        return self._browser.running and not self._server.gone.is_set()

    def _starts(self) -> None:
        if not self._browser.running:
            raise Unusable(f"{self._browser.program} does not start: {self._browser.last_words}", chromium.MEND)
        if not self.running or time.monotonic() > self._until:
            raise Unusable(
                f"{self._browser.program} opens no page of this machine within {START_SECONDS:.0f} s",
                f"Start it by hand to see why. {chromium.MEND}",
            )

    def _stays(self) -> None:
        if not self.running:
            raise ArtifactFailed(
                "the browser ended in the middle of a call. It may lack memory: close other programs, or use smaller "
                "measure.batches"
            )

    def _ask(self, body: bytes | np.ndarray, **task: Any) -> Answer:
        answer, content = self._server.ask(task, body, self._stays)
        if "error" in answer:
            raise ArtifactFailed(shorten(str(answer["error"])))
        return answer, content

    def reserve(self) -> int:
        """Number of a network to load. The browser stays until it is dropped."""
        number = next(self._numbers)
        self._live.add(number)
        return number

    def load(self, network: int, model: bytes, threads: int) -> None:
        """Load a model under a reserved number.

        Raises:
            ArtifactFailed: the runtime refuses it, or uses another number of threads.
        """
        name = f"models/{network}"
        self._server.offer(name, model)
        answer, _ = self._ask(b"", do="load", network=network, model=name, threads=threads)
        if answer["threads"] != threads:
            raise ArtifactFailed(f"the browser permits {answer['threads']} threads, not {threads}")

    def embed(self, network: int, images: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Embed uint8 N×H×W×3; return float32 N×D, the time of the whole call in the page, and of the runtime, ms.

        Raises:
            ArtifactFailed: the runtime can't, or the browser ended.
        """
        answer, content = self._ask(np.ascontiguousarray(images), do="embed", network=network, shape=images.shape)
        rows = np.frombuffer(content, "<f4").reshape(len(images), answer["dimension"]).astype(np.float32)
        return rows, float(answer["callMs"]), float(answer["ms"])

    def drop(self, network: int) -> None:
        """Free a network; with the last one, the browser ends."""
        with _lock:
            self._live.discard(network)
            if self._live:
                self._server.tell({"do": "drop", "network": network})
            else:
                self.close()

    def close(self) -> None:
        """End the browser. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._server.gone.set()
        self._browser.close()
        self._server.close()


def reserve() -> tuple[Page, int]:
    """The page of this process, started where there is none, and a number for a network there.

    Raises:
        Unusable: see `Page`.
    """
    global _shared
    program = chromium.find()
    with _lock:
        if _shared is None or _shared[0] != os.getpid() or not _shared[1].running:
            if _shared and _shared[0] == os.getpid():
                _shared[1].close()  # what a crash left of it
            _shared = os.getpid(), Page(program)
        return _shared[1], _shared[1].reserve()


@atexit.register
def _close_shared() -> None:
    if _shared and _shared[0] == os.getpid():
        _shared[1].close()
