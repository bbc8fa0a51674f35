"""64 MiB of zeros, packed into 64 KiB, take neither memory nor disk."""

import shutil
import tracemalloc

import pytest

from tests.targets.archive.strangers import craft, entry, refused

ZEROS = 64 * 2**20


@pytest.fixture(scope="module")
def zeros():
    return bytes(ZEROS)


@pytest.mark.parametrize("claimed", [10, ZEROS - 1, -2])
def test_a_bomb_takes_no_more_memory_than_it_claims(room, zeros, claimed):
    """64 MiB of zeros, packed into 64 KiB."""
    path = craft(room / "archive", [("a", zeros)], {"a": {**entry(b""), "size_bytes": claimed}})
    assert path.stat().st_size < ZEROS / 500
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bomb_is_noticed_before_it_is_on_the_disk(room, zeros, monkeypatch):
    path = craft(room / "archive", [("a", zeros)], {"a": {**entry(b""), "size_bytes": 10}})
    sizes = []
    remove = shutil.rmtree

    def watched(folder, **options):
        sizes.extend(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        remove(folder, **options)

    monkeypatch.setattr("targets.archive.shutil.rmtree", watched)
    refused(path)
    assert sizes == [0]
