"""A client that sends exactly what a test says."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

EMBED = "/v1/embed"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def rows(self) -> np.ndarray:
        """Embeddings of an answer in JSON."""
        assert self.status == 200, self.content
        return np.array(self.json["embeddings"], np.float32)


def form(*contents: bytes, name: str = "image") -> tuple[bytes, str]:
    """A form with files: its body, and its content type."""
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode()
    lines = [head + content + b"\r\n" for content in contents]
    return b"".join(lines) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


class Client:
    """Asks a server at a URL, each time over a new connection."""

    def __init__(self, url: str) -> None:
        self.url, place = url, urlsplit(url)
        self.address = (place.hostname or "", place.port or 0)

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Send a request. Underscores in the names of headers are dashes."""
        connection = http.client.HTTPConnection(self.address[0], self.address[1], timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named, encode_chunked=not isinstance(body, bytes | None))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def embed(self, *contents: bytes, **headers: str) -> Answer:
        """Send images, as a form."""
        body, kind = form(*contents)
        return self.ask(EMBED, "POST", body, Content_Type=kind, **headers)

    def embed_one(self, content: bytes, kind: str = "image/png", **headers: str) -> Answer:
        """Send an image as the body."""
        return self.ask(EMBED, "POST", content, Content_Type=kind, **headers)

    def send(self, text: bytes) -> bytes:
        """Send bytes; what comes back at first."""
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(text)
            return connection.recv(65536)

    def wait_for(self, metric: str) -> bytes:
        """Wait until the metrics have a line, such as `zoo_queue_images 4.0`; all metrics."""
        for _ in range(300):
            metrics = self.ask("/metrics").content
            if f"\n{metric}\n".encode() in metrics:
                return metrics
            time.sleep(0.02)
        raise AssertionError(f"never {metric}")
