"""Servers with responses that no registry gives, and places of every kind that ask them."""

import os
import time
from contextlib import suppress
from threading import Event

import pytest

from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.hub_registry import imported_anew
from zoo.errors import RegistryError
from zoo.registry.cache import Cache
from zoo.registry.download import fetch
from zoo.registry.index import Blob
from zoo.registry.places.by_url import open_place

PATTERN = os.urandom(2**16)


PART = 5000  # bytes requested


BLOB = Blob(sha256="0" * 64, size_bytes=PART)


HUB_ANSWER = b'{"id": "team/nets", "sha": "%s"}' % (b"a" * 40)


def part_of_pattern(start, end):
    return (PATTERN * (end // len(PATTERN) + 1))[start:end]


class Hostile:
    """Responses in place of files.

    Attributes:
        asked: paths, in order.
        sent_bytes: of bodies without an end.
        hung_up: that the client closed the connection.
    """

    def __init__(self) -> None:
        self.asked, self.sent_bytes, self.hung_up = [], 0, Event()

    def answer(self, request) -> None:
        """Send the response."""

    def forever(self, request, body, pause=0.0) -> None:
        """Repeat until the client hangs up."""
        with suppress(OSError):
            while True:
                request.wfile.write(body)
                self.sent_bytes += len(body)
                time.sleep(pause)
        self.hung_up.set()


class Endless(Hostile):
    """A body without an end."""

    def __init__(self, head=b"200 OK", body=PATTERN, pause=0.0) -> None:
        super().__init__()
        self.head, self.body, self.pause = head, body, pause

    def answer(self, request) -> None:
        request.wfile.write(b"HTTP/1.1 %s\r\n\r\n" % self.head)
        self.forever(request, self.body, self.pause)


class Says(Hostile):
    """The same few bytes, always."""

    def __init__(self, head, body=b"") -> None:
        super().__init__()
        self.content = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    def answer(self, request) -> None:
        request.wfile.write(self.content)


def slow():
    return Endless(b"200 OK\r\nContent-Length: 100000", b" ", 0.02)


@pytest.fixture
def url_of(serve, tmp_path):
    def start(hostile):
        def do_get(request):
            request.close_connection = True
            if request.path.startswith("/api/"):  # the Hub is asked for the newest commit
                Says(b"200 OK", HUB_ANSWER).answer(request)
                return
            hostile.asked.append(request.path)
            hostile.answer(request)

        return serve(tmp_path, type("Handler", (Quiet,), {"do_GET": do_get}))

    return start


@pytest.fixture
def web(url_of):
    return lambda hostile: open_place(url_of(hostile))


@pytest.fixture
def s3(url_of, monkeypatch):
    s3fs = pytest.importorskip("s3fs")

    def start(hostile):
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**keys, "AWS_ENDPOINT_URL": url_of(hostile)}.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        place = open_place("s3://bucket/folder")
        place._files.connect()  # type: ignore[attr-defined]  # reads what S3 is: a second
        return place

    yield start
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def hub(url_of, monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    with imported_anew("huggingface_hub"):

        def start(hostile):
            settings = {"HF_ENDPOINT": url_of(hostile), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
            for name, value in {**settings, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
                monkeypatch.setenv(name, value)
            return open_place("hf://datasets/team/nets")

        yield start


@pytest.fixture
def old_hub(hub, monkeypatch):
    """Requests as by huggingface_hub before 1.0."""
    requests = pytest.importorskip("requests")

    def start(hostile):
        place = hub(hostile)
        monkeypatch.setattr(place._utils, "get_session", requests.Session)
        monkeypatch.setattr(place._utils, "hf_raise_for_status", lambda answer: answer.raise_for_status())
        return place

    return start


@pytest.fixture
def oci(url_of, monkeypatch):
    pytest.importorskip("oras")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return lambda hostile: open_place(url_of(hostile).replace("http:", "oci:") + "/team/nets")


@pytest.fixture(params=["web", "s3", "hub", "old_hub", "oci"])
def place_of(request):
    return request.getfixturevalue(request.param)


def refused(place, cache, blob=BLOB):
    """The error for a blob that can't be downloaded, in one line."""
    with pytest.raises(RegistryError) as caught:
        fetch(blob, [place], cache, lambda _: None)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def cache(home):
    return Cache(home.cache)
