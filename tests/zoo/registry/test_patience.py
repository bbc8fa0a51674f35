"""A busy server is retried, for the index and all files; one that refuses is not."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.pulling import pulled
from tests.zoo.registry.samples import put_release
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.index import INDEX
from zoo.registry.places.by_url import open_place
from zoo.registry.places.patience import ATTEMPTS, LONGEST_ASKED, TEMPORARY, refusal
from zoo.registry.places.place import GivenUp, Later
from zoo.registry.publish import publish


class Busy(Quiet):
    """Answers the first requests for each path with an error status."""

    status, times, asked, headers_of = 503, 2, {}, {}

    def do_GET(self) -> None:
        count = self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if count > self.times:
            super().do_GET()
            return
        self.send_response(self.status)
        for name, value in {"Content-Length": "0", **self.headers_of}.items():
            self.send_header(name, value)
        self.end_headers()


def busy(status, times, headers=None):
    return type("Handler", (Busy,), {"status": status, "times": times, "asked": {}, "headers_of": headers or {}})


class HangsUp(Busy):
    """Closes the connection instead."""

    def send_response(self, code, message=None) -> None:
        if code == 200:
            super().send_response(code, message)
        else:
            self.connection.close()


@pytest.fixture
def published(home, folder):
    publish(put_release(home), folder, None, Silent())
    return folder


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.FIRST_PAUSE", 0.0001)
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)


@pytest.mark.parametrize("status", [429, 503])
def test_index_manifest_and_files_are_retried(published, serve, tmp_path, hasty, status):
    handler = busy(status, 2)
    assert pulled(Home(tmp_path / "away"), serve(published.root, handler)).manifest.name == "tiny"
    assert handler.asked[f"/{INDEX}"] == 3
    assert {*handler.asked.values()} == {3}  # blobs, too: each is one part


def test_a_server_that_hangs_up_is_retried(published, serve, tmp_path, hasty):
    handler = type("Handler", (HangsUp,), {"times": 2, "asked": {}})
    assert pulled(Home(tmp_path / "away"), serve(published.root, handler)).manifest.name == "tiny"


def test_the_servers_retry_after_is_respected(published, serve, hasty, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    place = open_place(serve(published.root, busy(429, 1, {"Retry-After": "1"})))
    assert place.read(INDEX, 10_000)
    assert pauses == [1]


def test_a_server_that_stays_busy_is_reported(published, serve, hasty):
    handler = busy(503, 100)
    with pytest.raises(RegistryError, match="can't be used: HTTP 503 Service Unavailable"):
        open_place(serve(published.root, handler)).read(INDEX, 10_000)
    assert handler.asked == {f"/{INDEX}": ATTEMPTS}


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (403, {}), (429, {"Retry-After": "3600"})])
def test_a_server_that_refuses_is_not_retried(published, serve, tmp_path, status, headers):
    handler = busy(status, 100, headers)
    with pytest.raises(RegistryError, match=f"HTTP {status}"):
        pulled(Home(tmp_path / "away"), serve(published.root, handler))
    assert handler.asked == {f"/{INDEX}": 1}


def in_seconds(count):
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=count), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("7", 7), ("0", 0), ("-3", 0), ("soon", 0), (None, 0), ("", 0), ("Fri, 27 Nov 2015 04:21:51 GMT", 0)],
)
def test_retry_after_in_seconds_is_parsed(asked, seconds):
    error = refusal(503, "busy", {"Retry-After": asked} if asked is not None else {})
    assert isinstance(error, Later)
    assert error.seconds == seconds


def test_retry_after_as_a_date_is_parsed():
    error = refusal(503, "busy", {"Retry-After": in_seconds(40)})
    assert isinstance(error, Later)
    assert 20 < error.seconds <= 40


@pytest.mark.parametrize("status", TEMPORARY)
def test_which_status_codes_are_retried(status):
    assert isinstance(refusal(status, "busy", {}), Later)
    assert isinstance(refusal(404, "gone", {}), GivenUp)


@pytest.mark.parametrize(
    "asked", [str(LONGEST_ASKED + 1), in_seconds(40_000), "1e999", "nan"], ids=["seconds", "date", "1e999", "nan"]
)
def test_a_long_retry_after_gives_up(asked):
    error = refusal(429, "busy", {"Retry-After": asked})
    assert isinstance(error, GivenUp)
    assert str(error.strerror).startswith("busy; it asks to retry in ")
