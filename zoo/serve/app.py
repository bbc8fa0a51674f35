"""Routes of the server, and what they do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.machine.device import usable_cores
from zoo.errors import ImageError
from zoo.serve.access import Log, silent
from zoo.serve.answers import IMAGES, answer, form_of
from zoo.serve.batching import Admission, Batcher
from zoo.serve.bodies import Body, Buffer
from zoo.serve.connections import Connections
from zoo.serve.draining import Drain
from zoo.serve.limits import MIB, Limits
from zoo.serve.metrics import Metrics
from zoo.serve.openapi import EMBED, HEALTH, METRICS, MODEL, OPENAPI, READY, about_model, description
from zoo.serve.pictures import decode_picture
from zoo.serve.rates import Rates, client_of
from zoo.serve.refusal import Problem, Refusal, sentence

if TYPE_CHECKING:
    from aiohttp.web import Application, HTTPException, Request, StreamResponse

    from zoo.use.embedder import Embedder

    Handler = Callable[[Request], Awaitable[StreamResponse]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """What handlers need."""

    embedder: Embedder
    limits: Limits
    buffer: Buffer
    batcher: Batcher
    metrics: Metrics
    decoders: ThreadPoolExecutor
    drain: Drain

    async def embed(self, request: Request) -> StreamResponse:
        """Embeddings of the images of a request."""
        form = form_of(request.headers.get("Accept"))
        self._check_state()
        self.batcher.check_room()  # before the body is read
        with Body(request, self.limits, self.buffer) as body:
            contents = await body.read()
            with self.batcher.admit(len(contents)) as admission:
                rows = await self._rows(contents, admission)
        return answer(self.embedder, rows, form)

    def _check_state(self) -> None:
        if self.drain.ending:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "ending",
                "The server is shutting down.",
                "It was told to end.",
                "Send the request to another server, or once this one is back.",
                5,
                close=True,
            )

    async def _rows(self, contents: list[bytes], admission: Admission) -> np.ndarray:
        """Embed all images; if one fails, the others are given up."""
        tasks = [asyncio.ensure_future(self._row(n, content, admission)) for n, content in enumerate(contents)]
        try:
            return np.stack(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _row(self, number: int, content: bytes, admission: Admission) -> np.ndarray:
        loop, name = asyncio.get_running_loop(), f"Image {number}"
        pixels = await loop.run_in_executor(
            self.decoders, decode_picture, content, name, self.embedder, self.limits.pixels
        )
        try:
            return await admission.embed(pixels)
        except ImageError as error:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "embedding",
                f"{name} has no embedding.",
                sentence(error),
                "Send another image.",
            ) from None

    async def model(self, _: Request) -> StreamResponse:
        """What is served."""
        from aiohttp.web import json_response

        return json_response(about_model(self.embedder, self.limits))

    async def openapi(self, _: Request) -> StreamResponse:
        """The description of this interface."""
        from aiohttp.web import json_response

        return json_response(description(self.limits, self.embedder.dimension))

    async def health(self, _: Request) -> StreamResponse:
        """Whether the process answers."""
        from aiohttp.web import json_response

        return json_response({"status": "ok"})

    async def ready(self, _: Request) -> StreamResponse:
        """Whether requests are answered now."""
        from aiohttp.web import json_response

        self._check_state()
        if self.batcher.failure:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "failing",
                "The last batch failed.",
                sentence(self.batcher.failure),
                "Restart the server if it stays so.",
            )
        self.batcher.check_room()
        return json_response({"status": "ready"})

    async def told(self, _: Request) -> StreamResponse:
        """Metrics for Prometheus."""
        from aiohttp.web import Response

        text, kind = self.metrics.text()
        return Response(body=text, headers={"Content-Type": kind})


def _of_http(error: HTTPException) -> Refusal:
    """An error of aiohttp's own, such as a route that does not exist."""
    status = HTTPStatus(error.status)
    return Refusal(
        status,
        "http",
        f"{status.phrase}.",
        status.description.rstrip(".") + "." if status.description else "The request is not supported.",
        f"{OPENAPI} describes all requests.",
    )


def _unexpected(error: Exception) -> Refusal:
    logger.error("a request failed", exc_info=error)
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The server failed.",
        "The reason is in its log (zoo --verbose serve).",
        "Send it again; report it if it happens again.",
        close=True,
    )


def _response(refusal: Refusal, headers: dict[str, str]) -> StreamResponse:
    from aiohttp.web import json_response

    problem: Problem = refusal.problem
    response = json_response(problem, status=refusal.status, headers={**headers, **refusal.headers})
    if refusal.close:
        response.force_close()
    return response


def _answering(metrics: Metrics, drain: Drain, connections: Connections, log: Log) -> Any:
    """The middleware that turns errors into answers, counts requests, and logs them."""
    from aiohttp.web import HTTPException, middleware

    @middleware
    async def run(request: Request, handler: Handler) -> StreamResponse:
        begun = time.monotonic()
        refusal, headers = None, {}
        try:
            with drain.request(), connections.request(request.protocol):
                response = await handler(request)
        except Refusal as error:
            refusal = error
        except HTTPException as error:
            refusal, headers = _of_http(error), {name: error.headers[name] for name in {"Allow"} & error.headers.keys()}
        except ConnectionError:
            if request.transport is None:  # the client is gone
                raise asyncio.CancelledError from None
            raise
        except Exception as error:  # noqa: BLE001 - the client gets an answer, the log the reason
            refusal = _unexpected(error)
        if refusal:
            metrics.refused(refusal.reason)
            response = _response(refusal, headers)
        if drain.ending:
            response.force_close()
        response.headers["Server"] = "zoo"  # not which versions of Python and aiohttp
        seconds = time.monotonic() - begun
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        method = request.method if route != "other" else "other"
        metrics.request(route, method, response.status, seconds)
        log(
            {
                "client": request.remote or "",
                "method": request.method,
                "path": request.path,
                "status": response.status,
                "images": int(response.headers.get(IMAGES, 0)),
                "bytes": request.content.total_bytes,
                "ms": round(1000 * seconds, 3),
            }
        )
        return response

    return run


def _limiting(rates: Rates) -> Any:
    """The middleware that limits the rate of each client; probes of health and metrics are free."""
    from aiohttp.web import middleware

    @middleware
    async def run(request: Request, handler: Handler) -> StreamResponse:
        if request.path.startswith("/v1/"):
            rates.take(client_of(request.remote))
        return await handler(request)

    return run


def make_app(embedder: Embedder, limits: Limits, log: Log = silent) -> tuple[Application, Drain, Connections]:
    """The application, its requests in progress, and its connections. To be called in the loop that runs it."""
    from aiohttp.web import Application

    limits = replace(limits, batch=min(limits.batch, embedder.largest_batch))
    buffer = Buffer(limits.buffer_mib * MIB)
    batcher = Batcher(embedder.embed_pixels, limits.batch, limits.wait_ms / 1000, limits.queue)
    metrics = Metrics(embedder, lambda: batcher.accepted, lambda: buffer.used)
    drain, connections = Drain(), Connections(limits.connections, metrics.refused)
    batcher.observe = metrics.batch
    decoders = ThreadPoolExecutor(usable_cores(), "decode")
    server = Server(embedder, limits, buffer, batcher, metrics, decoders, drain)
    limiting = [_limiting(Rates(limits.rate, time.monotonic))] if limits.rate else []
    app = Application(middlewares=[_answering(metrics, drain, connections, log), *limiting])
    app.router.add_post(EMBED, server.embed)
    for path, handler in {
        MODEL: server.model, OPENAPI: server.openapi, HEALTH: server.health, READY: server.ready, METRICS: server.told,
    }.items():  # fmt: skip
        app.router.add_get(path, handler, allow_head=False)

    async def computing(_: Application) -> AsyncIterator[None]:
        work = asyncio.ensure_future(batcher.run())
        yield
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        decoders.shutdown(wait=False, cancel_futures=True)

    app.cleanup_ctx.append(computing)
    return app, drain, connections
