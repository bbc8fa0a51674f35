"""Listens, serves, and ends on SIGTERM or Ctrl-C once the requests in progress are answered."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from targets.installing import install_command
from zoo.errors import ServeError
from zoo.serve.access import Log, silent
from zoo.serve.connections import BACKLOG, room
from zoo.serve.limits import Limits

if TYPE_CHECKING:
    from zoo.use.embedder import Embedder

LINGER_SECONDS = 5.0  # how long a client may go on with a body that was refused, so that it reads the answer
logger = logging.getLogger(__name__)
Stop = Callable[[], None]
KEEPALIVE_SECONDS = 75.0  # of an idle connection; proxies usually close theirs after 60
LAST_PORT = 65535
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def check_installed() -> None:
    """Check, before the work, that the extra `serve` is installed.

    Raises:
        ServeError: it is not.
    """
    if find_spec("prometheus_client") is None:
        raise ServeError(f"serving needs prometheus-client, which is not installed. Run: {install_command('serve')}")


def _why_not(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            other = port + 1 if port < LAST_PORT else 0
            return f"port {port} of {host} is in use. Stop the program that uses it, or take another: --port {other}"
        case errno.EACCES:
            return f"port {port} of {host} needs more rights. Take one from 1024 upwards: --port 8000"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {host}. Use --host 127.0.0.1, or 0.0.0.0 for all of its addresses."
    return f"can't listen on port {port} of {host}: {error.strerror or error}. Use another --host or --port."


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of a host; all on the same port.

    Args:
        port: 0: any free one.

    Raises:
        ServeError: the port is in use or needs more rights, or the host is unknown.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ServeError(
            f"the host {host!r} is unknown. Use --host 127.0.0.1, or another address of this machine."
        ) from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not of ports that somebody listens on
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            one.listen(BACKLOG)
            port = one.getsockname()[1]
    except OSError as error:
        for one in sockets:
            one.close()
        raise ServeError(_why_not(host, port, error)) from None
    return sockets


def url_of(host: str, sockets: list[socket.socket]) -> str:
    """Where clients find the server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{sockets[0].getsockname()[1]}"


async def _serve(
    embedder: Embedder, sockets: list[socket.socket], limits: Limits, log: Log, started: Callable[[Stop], None]
) -> None:
    from aiohttp.web import AppRunner

    from zoo.serve.app import make_app

    most, backlog = room(limits.connections)
    app, drain, connections = make_app(embedder, replace(limits, connections=most), log)
    runner = AppRunner(
        app,
        handler_cancellation=True,  # the work for a client that is gone
        auto_decompress=False,  # such bodies are refused: they may be bombs
        access_log=None,
        logger=logger,  # aiohttp's own prints a traceback for whatever is not HTTP
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=LINGER_SECONDS,
    )
    await runner.setup()
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        for one in SIGNALS:
            loop.remove_signal_handler(one)  # the second one ends at once
        told.set()

    def stop() -> None:
        with suppress(RuntimeError):  # it has ended already
            loop.call_soon_threadsafe(end)

    with suppress(RuntimeError, ValueError):  # not in the main thread, as in tests
        for one in SIGNALS:
            loop.add_signal_handler(one, end)
    assert runner.server is not None
    servers: list[asyncio.Server] = []
    try:
        for listening in sockets:
            new = connections.of(runner.server)
            servers.append(await loop.create_server(new, sock=listening, backlog=backlog))
        started(stop)
        await told.wait()
    finally:
        for server in servers:
            server.close()
        await drain.end(limits.drain_seconds)
        await runner.cleanup()


def serve(
    embedder: Embedder,
    sockets: list[socket.socket],
    limits: Limits,
    log: Log = silent,
    started: Callable[[Stop], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, and answer what is in progress.

    Args:
        sockets: of `listen`.
        started: called once requests are answered, with a function that ends the server, from any thread.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # images of more than Pillow's limit are refused, instead of decoded with a warning
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        asyncio.run(_serve(embedder, sockets, limits, log, started))
