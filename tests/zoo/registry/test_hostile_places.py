"""Registry servers are untrusted: no more is read, or waited for, than was requested."""

import gzip
import os
import tracemalloc
from importlib.util import find_spec

import pytest

from tests.zoo.registry.hostile_servers import (
    BLOB,
    PART,
    Endless,
    Says,
    cache,
    hub,
    oci,
    old_hub,
    part_of_pattern,
    place_of,
    refused,
    s3,
    slow,
    url_of,
    web,
)
from zoo.errors import RegistryError
from zoo.registry.index import INDEX
from zoo.registry.places.patience import ATTEMPTS

__all__ = ["cache", "hub", "oci", "old_hub", "place_of", "s3", "url_of", "web"]


@pytest.mark.parametrize("status", [b"200 OK", b"206 Partial Content\r\nContent-Range: bytes 8000000-8004999/9000000"])
def test_an_endless_body_is_read_only_as_far_as_requested(place_of, status):
    hostile, start = Endless(status), 8_000_000
    place, first = place_of(hostile), start if status.startswith(b"200") else 0
    tracemalloc.start()
    try:
        content, (_, peak) = place.fetch(BLOB.path, start, start + PART), tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content == part_of_pattern(first, first + PART)
    assert peak < 4_000_000
    assert hostile.hung_up.wait(5)
    assert hostile.sent_bytes < first + 30_000_000  # buffers of the system


def test_a_small_file_without_an_end_is_refused(place_of):
    hostile = Endless()
    with pytest.raises(RegistryError, match="index.json of .* exceeds the limit of 1 MB"):
        place_of(hostile).read(INDEX, 1_000_000)
    assert hostile.hung_up.wait(5)


def test_an_endless_error_body_is_not_read_completely(hub):
    hostile = Endless(b"500 Internal Server Error")
    with pytest.raises(OSError, match="500"):
        hub(hostile).fetch(BLOB.path, 0, PART)
    assert hostile.hung_up.wait(5)


def test_compressed_responses_are_refused(place_of, cache):
    hostile = Says(b"206 Partial Content\r\nContent-Encoding: gzip", gzip.compress(b"x" * PART))
    place = place_of(hostile)
    assert r"the server compresses its response (gzip)" in refused(place, cache)
    assert len(hostile.asked) == 1  # a retry would be compressed again
    with pytest.raises(RegistryError, match=r"can't be used: the server compresses its response \(gzip\)"):
        place.read(INDEX, PART)


@pytest.fixture
def impatient(monkeypatch):
    for module in ("web", "s3", "hub"):
        monkeypatch.setattr(f"zoo.registry.places.{module}.FILE_SECONDS", 0.5)
        monkeypatch.setattr(f"zoo.registry.places.{module}.PART_SECONDS", 0.5)
    if find_spec("oras"):
        monkeypatch.setattr("zoo.registry.places.oci_client.FILE_SECONDS", 0.5)
        monkeypatch.setattr("zoo.registry.places.oci_connection.FILE_SECONDS", 0.5)
        monkeypatch.setattr("zoo.registry.places.oci.PART_SECONDS", 0.5)
    monkeypatch.setattr("zoo.registry.places.hub.PIECE", 1)


@pytest.mark.timeout(30)
def test_a_very_slow_server_is_given_up(place_of, cache, impatient):
    hostile = slow()
    place = place_of(hostile)
    assert "the transfer took longer than 0.5 s" in refused(place, cache)
    assert len(hostile.asked) == 1  # eight times the time would be a long time
    with pytest.raises(RegistryError, match="can't be used: the transfer took longer than"):
        place.read(INDEX, PART)


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_only_regular_files_are_read(folder, cache, make):
    for path in (folder.root / INDEX, folder.root / BLOB.path):
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    with pytest.raises(RegistryError, match=r"can't be used: index.json is not a regular file\."):
        folder.read(INDEX, 1_000_000)
    assert f"{BLOB.sha256} is not a regular file" in refused(folder, cache)


def test_a_servers_reason_is_printed_without_control_characters(web, cache, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.LONGEST_PAUSE", 0.001)
    hostile = Says(b"500 \x1b]0;PWN\x07\x1b[2J" + b"so " * 1000)
    place = web(hostile)
    told = refused(place, cache)
    assert "HTTP 500 ?]0;PWN??[2Jso so" in told
    assert len(told) < 400
    assert len(hostile.asked) == ATTEMPTS  # a retry may help
    with pytest.raises(RegistryError, match="HTTP 500") as caught:
        place.read(INDEX, PART)
    assert str(caught.value).isprintable()


def test_an_s3_server_that_truncates_its_index_is_reported(s3):
    hostile = Says(b"200 OK")
    hostile.content = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
    with pytest.raises(RegistryError, match=r"^the registry s3://bucket/folder can't be used: .+") as caught:
        s3(hostile).read(INDEX, PART)
    assert str(caught.value).isprintable()
