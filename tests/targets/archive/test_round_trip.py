"""Valid archives are unpacked byte for byte."""

import os
import zipfile

import pytest

from targets.bundles.archive import read_archive, read_list, safe_name, write_archive
from tests.targets.archive.strangers import FILES, LIST, craft, entry, refused, unpacked


def test_packed_files_are_unpacked_byte_for_byte(room):
    (room / "source").write_bytes(large := os.urandom(3 * 2**20 + 1))
    write_archive(room / "archive", LIST, {"release": "tiny@1.0.0"}, {**FILES, "big.bin": room / "source"})
    about = read_archive(room / "archive", LIST, room / "folder")
    assert unpacked(room / "folder") == {**FILES, "big.bin": large}
    assert about["release"] == "tiny@1.0.0"
    assert about["files"]["big.bin"] == entry(large)
    assert about == read_list(room / "archive", LIST)
    assert sorted(path.name for path in room.iterdir()) == ["archive", "folder", "source"]


def test_equal_content_makes_equal_bytes_and_another_byte_another_key(room):
    made = []
    for place, mode in (("one", 0o600), ("two", 0o755)):
        (room / place).mkdir()
        for name, content in (("a", b"same" * 99), ("b", b"")):
            (room / place / name).write_bytes(content)
            (room / place / name).chmod(mode)
            os.utime(room / place / name, (mode, mode))
        files = {name: room / place / name for name in ("a", "b")}
        write_archive(room / place / "archive", LIST, {"release": "x"}, files)
        made.append((room / place / "archive").read_bytes())
    assert made[0] == made[1]
    with zipfile.ZipFile(room / "one" / "archive") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    key = read_list(room / "one" / "archive", LIST)["key"]
    (room / "two" / "b").write_bytes(b".")
    write_archive(room / "two" / "archive", LIST, {"release": "x"}, {n: room / "two" / n for n in ("a", "b")})
    assert read_list(room / "two" / "archive", LIST)["key"] != key


def test_a_write_that_fails_leaves_the_archive_that_was_there_and_nothing_else(room, monkeypatch):
    write_archive(room / "archive", LIST, {}, FILES)
    before = (room / "archive").read_bytes()
    (room / "source").write_bytes(b"1" * 99)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("targets.bundles.archive.shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        write_archive(room / "archive", LIST, {}, {"a": room / "source"})
    assert (room / "archive").read_bytes() == before
    assert sorted(path.name for path in room.iterdir()) == ["archive", "source"]


def test_a_folder_that_was_there_is_replaced_by_a_good_archive_and_kept_before_a_bad_one(room, good):
    (room / "folder").mkdir()
    (room / "folder" / "old").write_text("old")
    (room / "archive").write_bytes(good[:-30])
    refused(room / "archive")
    assert unpacked(room / "folder") == {"old": b"old"}
    (room / "archive").write_bytes(good)
    read_archive(room / "archive", LIST, room / "folder")
    assert unpacked(room / "folder") == FILES


@pytest.mark.parametrize(
    "name", ["a", "a/b", "a.b/.c", ".model", "a-", "ü/ß", "a b", "confirm.py", "com10", "x" * 200, "ü" * 100]
)
def test_names_inside_the_folder_are_accepted(room, name):
    assert safe_name(name)
    read_archive(craft(room / "archive", [(name, b"1")]), LIST, room / "folder")
    assert unpacked(room / "folder") == {name: b"1"}
