"""The server that the page talks to: its files, the models, and one task at a time.

It listens on 127.0.0.1, on a port that the system chooses, and answers only below a path that nobody can guess, so that
neither another user of the machine nor another page reaches it. Its headers isolate the page from other origins, which
is what browsers demand for threads and for a fine clock, and let it load from and send to this server alone.
"""

from __future__ import annotations

import json
import queue
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import unquote

import numpy as np

from targets.browser.files import PAGE, SERVED, static_file

HEADER = "X-Zoo"  # a task or an answer: JSON, percent-encoded in requests
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
IDLE_SECONDS = 20.0  # until a question without a task is answered with none
BEAT_SECONDS = 0.5  # between signs of life

Answer = tuple[dict[str, Any], bytes]


class Server:
    """Serves one page until `close`."""

    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(16)
        self._tasks: queue.SimpleQueue[tuple[dict[str, Any], memoryview]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._models: dict[str, bytes] = {}
        self._turn, self._last, self._closing = Lock(), 0, Event()
        self.gone = Event()
        """set when the page has ended"""
        self._http = _Http(self)
        Thread(target=self._http.serve_forever, args=(0.05,), daemon=True, name="zoo-browser").start()

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._http.server_port}/{self._secret}/{PAGE}"

    def ask(self, task: Mapping[str, Any], body: bytes | np.ndarray, alive: Callable[[], None]) -> Answer:
        """Give the page a task, and wait for its answer.

        Args:
            alive: is called now and then while waiting; it may raise.
        """
        with self._turn:
            self._last += 1
            pixels = memoryview(body.data if isinstance(body, np.ndarray) else body).cast("B")
            self._tasks.put(({**task, "id": self._last}, pixels))
            while True:
                alive()
                with suppress(queue.Empty):
                    answer, content = self._answers.get(timeout=0.2)
                    if answer.get("id") == self._last:
                        return answer, content

    def tell(self, task: Mapping[str, Any]) -> None:
        """Give the page a task that has no answer. May be called while another one is waited for, even by the garbage
        collector in the same thread.
        """
        self._tasks.put(({**task}, memoryview(b"")))

    def offer(self, name: str, content: bytes) -> None:
        """Let the page fetch a model once."""
        self._models[name] = content

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Content and type of a file below the secret path; None if there is none."""
        if name in self._models:
            return self._models.pop(name), "application/octet-stream"
        if name in SERVED:
            return static_file(name), TYPES[PurePosixPath(name).suffix]
        return None

    def path_of(self, request: BaseHTTPRequestHandler) -> str | None:
        """Path of a request below the secret one; None if it does not belong to the page."""
        own = request.headers.get("Host") == f"127.0.0.1:{self._http.server_port}"
        _, secret, *rest = request.path.split("/", 2)
        return rest[0] if own and rest and secrets.compare_digest(secret, self._secret) else None

    def next_task(self, answer: dict[str, Any], body: bytes) -> tuple[dict[str, Any], memoryview] | None:
        """Take an answer, and wait for the next task; None if there is none for a while."""
        if "id" in answer:
            self._answers.put((answer, body))
        with suppress(queue.Empty):
            return self._tasks.get(timeout=IDLE_SECONDS)
        return None

    def beats(self) -> bool:
        """Wait until the next sign of life is due; whether there is one."""
        return not self._closing.wait(BEAT_SECONDS)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: Server) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """A page that is closed drops its connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def do_GET(self) -> None:
        owner = self.server.owner
        path = owner.path_of(self)
        if path == "alive":
            self._stay_alive(owner)
        elif path is not None and (found := owner.get(path)):
            self._send({"Content-Type": found[1]}, found[0])
        else:
            self._refuse()

    def do_POST(self) -> None:
        owner = self.server.owner
        if owner.path_of(self) != "next":
            self._refuse()
            return
        answer = json.loads(unquote(self.headers.get(HEADER, "%7B%7D")))
        found = owner.next_task(answer, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        task, body = found or ({}, memoryview(b""))
        try:
            self._send({HEADER: json.dumps(task), "Content-Type": "application/octet-stream"}, body)
        except OSError:
            owner.gone.set()

    def _stay_alive(self, owner: Server) -> None:
        self.close_connection = True
        try:
            self._head({"Content-Type": "application/octet-stream", "Connection": "close"})
            while owner.beats():
                self.wfile.write(b".")
        except OSError:
            owner.gone.set()

    def _refuse(self) -> None:
        self.close_connection = True
        self._send({"Content-Type": "text/plain"}, b"not here\n", HTTPStatus.NOT_FOUND)

    def _send(
        self, headers: Mapping[str, str], content: bytes | memoryview, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self._head({**headers, "Content-Length": str(len(content))}, status)
        self.wfile.write(content)

    def _head(self, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response_only(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not worth a line."""
