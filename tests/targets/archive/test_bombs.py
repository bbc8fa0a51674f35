"""Decompression bombs take neither memory nor disk, whether or not they declare their size."""

import shutil
import tracemalloc
import zipfile
from types import SimpleNamespace

import pytest

from targets.bundles.archive import BOMB_BYTES, MOST_BYTES, read_archive, write_archive
from targets.errors import BadBundle
from tests.targets.archive.strangers import LIST, craft, entry, refused, unpacked
from tests.targets.refusal import refusal

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


def test_a_bomb_is_detected_before_it_is_on_the_disk(room, zeros, monkeypatch):
    path = craft(room / "archive", [("a", zeros)], {"a": {**entry(b""), "size_bytes": 10}})
    sizes = []
    remove = shutil.rmtree

    def watched(folder, **options):
        sizes.extend(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        remove(folder, **options)

    monkeypatch.setattr("targets.bundles.archive.shutil.rmtree", watched)
    refused(path)
    assert sizes == [0]


@pytest.fixture
def untouched(monkeypatch):
    """Check that nothing is unpacked, not even temporarily."""

    def opened(archive, name, *_, **__):
        assert name == LIST, f"{name} was unpacked"
        return opening(archive, name)

    opening = zipfile.ZipFile.open
    return lambda: monkeypatch.setattr(zipfile.ZipFile, "open", opened)


def test_a_bomb_that_declares_its_size_is_refused_before_it_is_unpacked(room, untouched):
    path = craft(room / "archive", [("a", bytes(BOMB_BYTES + 10**6))])
    untouched()
    assert "compresses 101 MB into 0.10 MB, which is not plausible" in refused(path)


def test_files_that_share_compressed_data_are_a_bomb_together(room, untouched, monkeypatch):
    """Each of the directory's names leads to the same bytes."""
    monkeypatch.setattr("targets.bundles.archive.BOMB_BYTES", 10**6)
    path = craft(room / "archive", [(f"{n:02}", bytes(900_000)) for n in range(40)])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, last = archive.getinfo("00"), archive.getinfo("39")
        end = last.header_offset + (archive.getinfo("01").header_offset - first.header_offset)
    begin = archive.getinfo("01").header_offset
    at = content.index(b"PK\1\2")
    assert at == end
    path.write_bytes(_shared(content, begin, at, first.header_offset))
    untouched()
    assert "compresses 36 MB into 0.0" in refused(path)


def _shared(content, begin, directory, offset):
    """Cut out all files from `begin` on, and let all names but the list's lead to the file at `offset`."""
    changed = bytearray(content[:begin] + content[directory:])
    at = changed.index(b"PK\1\2", begin)
    while (at := changed.find(b"PK\1\2", at + 1)) > 0:
        changed[at + 42 : at + 46] = offset.to_bytes(4, "little")
    end = changed.rindex(b"PK\5\6")
    changed[end + 16 : end + 20] = begin.to_bytes(4, "little")
    return changed


def test_more_than_an_archive_may_hold_is_refused_before_it_is_unpacked(room, untouched):
    listed = {name: {**entry(b""), "size_bytes": MOST_BYTES // 2 + 1} for name in ("a", "b")}
    path = craft(room / "archive", [("a", b"1"), ("b", b"2")], listed)
    untouched()
    assert "unpacks to more than the limit of 16 GiB" in refused(path)


def test_more_than_an_archive_may_hold_is_not_packed(room, monkeypatch):
    monkeypatch.setattr("targets.bundles.archive.MOST_BYTES", 9)
    assert "would unpack to more" in refusal(
        write_archive, room / "archive", LIST, {}, {"a": b"12345", "b": b"12345"}, of=BadBundle
    )
    write_archive(room / "archive", LIST, {}, {"a": b"12345", "b": b"1234"})
    assert [path.name for path in room.iterdir()] == ["archive"]


def test_more_than_the_disk_has_left_is_refused_before_it_is_unpacked(room, untouched, monkeypatch):
    path = craft(room / "archive", [("a", bytes(3 * 10**6))])
    seen = []

    def usage(place):
        seen.append(place)
        return SimpleNamespace(free=2 * 10**6)

    with monkeypatch.context() as patch:
        patch.setattr("targets.bundles.archive.shutil.disk_usage", usage)
        untouched()
        assert f"unpacks to 3 MB, but {room} has 2 MB left. Free some space." in refused(path)
        monkeypatch.undo()
    assert seen == [room]
    read_archive(path, LIST, room / "folder")
    assert len(unpacked(room / "folder")["a"]) == 3 * 10**6
