"""An archive with an invalid list, or one that does not match its files, is refused."""

import json

import pytest

from targets.bundles.archive import read_archive, write_archive
from targets.errors import BadBundle
from tests.targets.archive.strangers import FILES, LIST, craft, entry, refused
from tests.targets.refusal import refusal


def test_list_and_archive_name_the_same_files(room):
    more = craft(room / "archive", [("a", b"1"), ("b", b"2")], listed={"a": entry(b"1")})
    assert "'b' is in its list or in the archive, but not in both" in refused(more)
    less = craft(room / "archive", [("a", b"1")], listed={"a": entry(b"1"), "c": entry(b"2")})
    assert "'c' is in its list" in refused(less)


@pytest.mark.parametrize("claimed", [0, 9, 11, 10**10, -1, -2])
def test_a_size_that_is_not_the_files_is_refused(room, claimed):
    listed = {"a": {**entry(b"0123456789"), "size_bytes": claimed}}
    refused(craft(room / "archive", [("a", b"0123456789")], listed=listed))


def test_other_content_than_listed_is_refused(room):
    listed = {"a": entry(b"0123456789")}
    assert "a differs from its list (sha256)" in refused(craft(room / "archive", [("a", b"012345678 ")], listed))


@pytest.mark.parametrize(
    ("what", "content"),
    [("empty", b""), ("text", b"no archive\n" * 50), ("only an end", b"PK\5\6" + bytes(18)), ("gzip", b"\x1f\x8b\x08")],
)
def test_a_file_that_is_not_an_archive_is_refused(room, what, content):
    (room / "archive").write_bytes(content)
    message = refused(room / "archive")
    assert "is damaged, or not an archive" in message
    assert "Build or copy it again" in message


def test_an_archive_of_another_kind_is_refused(room):
    write_archive(room / "archive", "result.json", {}, FILES)
    assert "not an archive" in refused(room / "archive")


def test_a_path_that_cannot_be_read_is_told_with_the_reason(room):
    assert "No such file" in refusal(read_archive, room / "none", LIST, room / "folder", of=BadBundle)
    assert "Is a directory" in refusal(read_archive, room, LIST, room / "folder", of=BadBundle)
    assert not list(room.iterdir())


@pytest.mark.parametrize("files", [{"a": entry(b"1")}, {}, ["a"], {"a": {"digest": "x"}}])
def test_a_newer_schema_is_told_whatever_its_list_looks_like(room, files):
    text = json.dumps({"schema_version": 2, "files": files})
    assert "has schema 2; this version reads 1" in refused(craft(room / "archive", [("a", b"1")], text=text))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "\x00", "[" * 100_000, '{"schema_version": 1}', '{"schema_version": 1, "files": []}',
     '{"schema_version": 1, "files": {"a": 1}}', '{"schema_version": 1, "files": {"a": {"size_bytes": 1}}}',
     '{"schema_version": 1, "files": {"a": {"size_bytes": "1", "sha256": "x"}}}',
     '{"schema_version": 1, "files": {"a": {"size_bytes": 1.0, "sha256": "x"}}}',
     '{"schema_version": 1, "files": {"a": {"size_bytes": 1, "sha256": null}}}',
     '{"schema_version": {}, "files": {}}', b"\xff\xfe"],
    ids=lambda text: repr(text)[:60],
)  # fmt: skip
def test_an_invalid_list_is_refused(room, text):
    refused(craft(room / "archive", [("a", b"1")], text=text))
