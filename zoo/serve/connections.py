"""A limit on connections, so that clients that open many of them keep no others out.

aiohttp accepts as many as there are. Once the system has no more open files, asyncio can't accept any, and reports each
try with a traceback.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus

from zoo.serve.refusal import Refusal

BACKLOG = 512  # connections that the kernel keeps while the loop is busy
OTHERS = 64  # open files beside connections
REFUSED, REFUSED_SECONDS = 64, 1.0  # connections that get an answer that there are too many, and time to read it


def room(asked: int) -> tuple[int, int]:
    """How many connections fit the system's limit on open files, which is raised as far as it may be; and how many may
    wait to be accepted.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return asked, BACKLOG
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = asked + 2 * BACKLOG + OTHERS
    if soft != resource.RLIM_INFINITY and soft < needed:
        more = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):  # macOS refuses more than it has for a process, whatever `hard` says
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return asked, BACKLOG
    backlog = max(1, min(BACKLOG, soft // 8))  # twice: accepted ones come before the ones that they replace have gone
    return max(1, min(asked, soft - 2 * backlog - OTHERS)), backlog


class Connections:
    """Makes the protocol of each connection. Beyond the limit, the connection that has been without a request for
    longest gives way to a new one; if all have one, the new one is refused.

    Args:
        most: connections at the same time.
        refused: is told when one is refused.
    """

    def __init__(self, most: int, refused: Callable[[str], None]) -> None:
        self._most, self._refused = most, refused
        self._idle: OrderedDict[asyncio.BaseProtocol, _Connection] = OrderedDict()  # longest idle first
        self._busy: dict[asyncio.BaseProtocol, _Connection] = {}
        self._told: set[_TooMany] = set()

    def of(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A factory for `create_server`, whose connections are limited.

        Args:
            make: makes the protocol that serves a connection.
        """

        def new() -> asyncio.Protocol:
            if len(self._idle) + len(self._busy) >= self._most:
                if not self._idle:
                    return self._refusing()
                _, longest = self._idle.popitem(last=False)
                longest.abort()
            serving = make()
            self._idle[serving] = connection = _Connection(serving, lambda: self._gone(serving))
            return connection

        return new

    def _gone(self, serving: asyncio.BaseProtocol) -> None:
        self._idle.pop(serving, None)
        self._busy.pop(serving, None)

    def _refusing(self) -> _TooMany:
        refusal = Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "connections",
            "The server is busy.",
            f"It has {self._most} connections, and each has a request in progress.",
            "Send it again after Retry-After seconds.",
            1,
        )
        self._refused(refusal.reason)
        one = _TooMany(refusal if len(self._told) < REFUSED else None, self._told.discard)
        self._told.add(one)
        return one

    @contextmanager
    def request(self, serving: asyncio.BaseProtocol) -> Iterator[None]:
        """A request in progress of a connection, which does not give way meanwhile."""
        if (connection := self._idle.pop(serving, None)) is not None:
            self._busy[serving] = connection
        try:
            yield
        finally:
            if (connection := self._busy.pop(serving, None)) is not None:
                self._idle[serving] = connection


class _Connection(asyncio.Protocol):
    """Passes everything on to the protocol that serves, and tells when the connection is gone."""

    def __init__(self, serving: asyncio.Protocol, gone: Callable[[], None]) -> None:
        self._serving, self._gone = serving, gone
        self._transport: asyncio.BaseTransport | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._serving.connection_made(transport)
        if self._ended:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._serving.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._serving.data_received(data)

    def eof_received(self) -> bool | None:
        return self._serving.eof_received()

    def pause_writing(self) -> None:
        self._serving.pause_writing()

    def resume_writing(self) -> None:
        self._serving.resume_writing()

    def abort(self) -> None:
        """End the connection at once, also if its client reads nothing, or once it is made."""
        self._ended = True
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


class _TooMany(asyncio.Protocol):
    """Answers a refusal before any request, and ends; without one it just ends."""

    def __init__(self, refusal: Refusal | None, gone: Callable[[_TooMany], None]) -> None:
        self._refusal, self._gone = refusal, gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._refusal is None:
            transport.abort()
            return
        body = json.dumps(self._refusal.problem).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body)), "Server": "zoo",
            "Connection": "close", **self._refusal.headers,
        }  # fmt: skip
        lines = [f"HTTP/1.1 {self._refusal.status.value} {self._refusal.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        transport.write("\r\n".join([*lines, "\r\n"]).encode() + body)
        asyncio.get_running_loop().call_later(REFUSED_SECONDS, transport.abort)  # closed earlier, it might not arrive

    def connection_lost(self, _: Exception | None) -> None:
        self._gone(self)
