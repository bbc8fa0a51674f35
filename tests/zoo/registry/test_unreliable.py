"""Servers that break off, compress, have no ranges or no index."""

import hashlib
import random
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.pulling import another, check, published, pulled
from tests.zoo.registry.samples import files_of, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.places.by_url import open_place

__all__ = ["another", "published"]


class Packed(Quiet):
    """Compresses every response."""

    def end_headers(self) -> None:
        self.send_header("Content-Encoding", "gzip")
        super().end_headers()


def test_compressed_responses_are_refused(published, serve, another):
    with pytest.raises(RegistryError, match=r"can't be used: the server compresses its response \(gzip\)"):
        pulled(another, serve(published.root, Packed))


def test_an_unreachable_unknown_registry_is_reported(another):
    with pytest.raises(RegistryError, match=r"the registry http://127.0.0.1:9 can't be used: .*Check address"):
        pulled(another, "http://127.0.0.1:9")


class Cutting(SimpleHTTPRequestHandler):
    """Serves ranges, like web servers, and cuts every other connection at a random position."""

    dice, cuts = random.Random(0), 0

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content, first, last = path.read_bytes(), 0, None
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")  # type: ignore[assignment]
            first, last = int(first), int(last) + 1  # type: ignore[assignment]
        part = content[first:last]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        whole = self.dice.random() < 0.5
        type(self).cuts += not whole
        self.wfile.write(part if whole else part[: self.dice.randrange(len(part) + 1)])


def test_pulls_over_unreliable_connections_succeed(published, serve, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.download.CHUNK", 70_000)
    monkeypatch.setattr("zoo.registry.places.patience.FIRST_PAUSE", 0.001)
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.002)
    url = serve(published.root, Cutting)
    for number in range(12):
        home = Home(tmp_path / f"home{number}")
        for _ in range(20):  # repeat the command, as the error says
            try:
                release = pulled(home, url)
                break
            except RegistryError:
                assert not home.pulled.exists()  # no half release in sight
                for path in tree(home.cache / "blobs"):  # named files are complete
                    assert hashlib.sha256((home.cache / "blobs" / path).read_bytes()).hexdigest() == Path(path).name
        else:
            pytest.fail(f"pull {number}: 20 tries")
        check(release, files_of(b"2.0.0"))
        assert not tree(home.cache / "parts")
    assert Cutting.cuts > 50


def test_a_server_without_ranges_works(published, serve, another, monkeypatch):
    monkeypatch.setattr("zoo.registry.download.CHUNK", 20_000)
    check(pulled(another, serve(published.root, Quiet)), files_of(b"2.0.0"))


def test_a_pull_resumes(published, another, monkeypatch):
    asked, got = [], []
    place = open_place(published.url)
    original = type(place).fetch

    def fetch(self, path, start, end):
        asked.append(path)
        if len(asked) == 3:
            raise PermissionError("cut")
        got.append((path, start))
        return original(self, path, start, end)

    monkeypatch.setattr("zoo.registry.download.CHUNK", 100_000)
    monkeypatch.setattr("zoo.registry.pull.PARALLEL", 1)
    monkeypatch.setattr(type(place), "fetch", fetch)
    with pytest.raises(RegistryError):
        pulled(another, published.url)
    check(pulled(another, published.url), files_of(b"2.0.0"))
    assert len(got) == len({*got}) > 5  # nothing was downloaded twice


class Refusing(Quiet):
    """Answers with a document that is not an index."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def test_a_server_without_an_index_is_reported(serve, another, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    with pytest.raises(RegistryError, match="can't be used: HTTP 503 Service Unavailable"):
        pulled(another, serve(tmp_path, Refusing))


@pytest.mark.parametrize("kind", ["folder", "http"])
def test_an_index_above_the_size_limit_is_refused(published, serve, kind):
    place = open_place(serve(published.root)) if kind == "http" else published
    with pytest.raises(RegistryError, match=r"index.json of \S+ exceeds the limit of"):
        place.read("index.json", 10)
