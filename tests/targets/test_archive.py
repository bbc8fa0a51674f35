"""Archives that a stranger sent: what is right comes out byte for byte, everything else is refused and leaves nothing.

Strangers' archives are made with `zipfile` alone, so that nothing of `targets.archive` guards them on their way in.
"""

import hashlib
import json
import os
import random
import shutil
import stat
import struct
import tracemalloc
import warnings
import zipfile

import pytest

from targets.archive import read_archive, read_list, safe_name, write_archive
from targets.errors import BadBundle
from tests.targets.refusal import refusal

LIST = "bundle.json"
FILES = {"__main__.py": b"print(1)\n" * 9, "graphs/student.onnx": bytes(range(256)) * 4, "test/empty.npy": b""}
ZEROS = 64 * 2**20
REGULAR = stat.S_IFREG | 0o644


def entry(content):
    return {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def craft(path, members, listed=None, text=None, packing=zipfile.ZIP_DEFLATED):
    """Write what a stranger could: (name or ZipInfo, content) pairs, and a list that need not be of them."""

    def info(name, mode=REGULAR):
        made = zipfile.ZipInfo("x")
        made.filename, made.external_attr, made.compress_type = name, mode << 16, packing
        return made

    members = [(info(one) if isinstance(one, str) else one, content) for one, content in members]
    listed = {one.filename: entry(content) for one, content in members} if listed is None else listed
    text = json.dumps({"schema_version": 1, "files": listed}) if text is None else text
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of names that stand twice
        for one, content in [(info(LIST), text), *members]:
            archive.writestr(one, content)
    return path


def special(kind, name="a"):
    """A member that is no plain file."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def unpacked(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def room(tmp_path):
    """A folder in which nothing but `archive` may be found after a refusal."""
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Bytes of an archive of `FILES`."""
    path = tmp_path_factory.mktemp("good") / "archive"
    write_archive(path, LIST, {"release": "tiny@1.0.0"}, FILES)
    return path.read_bytes()


def refused(path):
    """What is said of an archive that is not unpacked; neither it nor anything it holds may be found then."""
    folder = path.with_name("folder")
    before = sorted(path.parent.rglob("*"))
    message = refusal(read_archive, path, LIST, folder, of=BadBundle)
    assert sorted(path.parent.rglob("*")) == before
    assert path.name in message
    return message


def test_what_was_packed_comes_out_byte_for_byte(room):
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

    monkeypatch.setattr("targets.archive.shutil.copyfileobj", full)
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
    "name",
    ["../x", "a/../../x", "..", "/etc/x", "//x", "C:\\x", "C:x", "a\\b", "..\\x", "./a", "a//b", "a/", ".", "a\n"],
)
def test_names_that_lead_elsewhere_are_refused(room, name):
    message = refused(craft(room / "archive", [("fine", b"1"), (name, b"2")]))
    assert f"holds a file named {name!r}, which leads out of its folder" in message


@pytest.mark.parametrize("name", ["a", "a/b", "a.b/.c", "-", "ü/ß", "a b"])
def test_names_that_stay_inside_are_taken(room, name):
    assert safe_name(name)
    read_archive(craft(room / "archive", [(name, b"1")]), LIST, room / "folder")
    assert unpacked(room / "folder") == {name: b"1"}


@pytest.mark.parametrize("kind", ["LNK", "DIR", "CHR", "BLK", "IFO", "SOCK"])
def test_links_folders_and_devices_are_refused(room, kind):
    member = special(getattr(stat, f"S_IF{kind}"))
    assert "which is a link or a folder, no file" in refused(craft(room / "archive", [(member, b"/etc/passwd")]))


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "A/b"), ("ß", "SS"), ("a", LIST.upper())])
def test_names_that_stand_twice_or_clash_where_case_does_not_count_are_refused(room, names):
    assert "a name twice" in refused(craft(room / "archive", [(name, b"1") for name in names]))


def test_a_second_list_is_refused(room):
    text = json.dumps({"schema_version": 1, "files": {"a": entry(b"1")}}).encode()
    assert "a name twice" in refused(craft(room / "archive", [("a", b"1"), (LIST, text)], text=text))


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_file_and_folder_at_once_is_refused(room, names):
    refused(craft(room / "archive", [(name, b"1") for name in names]))


@pytest.mark.parametrize("name", ["a" * 300, "/".join("a" * 3000)], ids=["wide", "deep"])
def test_names_that_no_disk_takes_are_refused(room, name):
    refused(craft(room / "archive", [(name, b"1")]))


def test_list_and_archive_name_the_same_files(room):
    more = craft(room / "archive", [("a", b"1"), ("b", b"2")], listed={"a": entry(b"1")})
    assert "'b' stands in its list or in the archive, but not in both" in refused(more)
    less = craft(room / "archive", [("a", b"1")], listed={"a": entry(b"1"), "c": entry(b"2")})
    assert "'c' stands in its list" in refused(less)


@pytest.mark.parametrize("claimed", [0, 9, 11, 10**10, -1, -2])
def test_a_size_that_is_not_the_files_is_refused(room, claimed):
    listed = {"a": {**entry(b"0123456789"), "size_bytes": claimed}}
    refused(craft(room / "archive", [("a", b"0123456789")], listed=listed))


def test_other_content_than_listed_is_refused(room):
    listed = {"a": entry(b"0123456789")}
    assert "a is not what its list says (sha256)" in refused(craft(room / "archive", [("a", b"012345678 ")], listed))


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


@pytest.mark.parametrize(
    ("what", "content"),
    [("empty", b""), ("text", b"no archive\n" * 50), ("only an end", b"PK\5\6" + bytes(18)), ("gzip", b"\x1f\x8b\x08")],
)
def test_what_is_no_archive_is_refused(room, what, content):
    (room / "archive").write_bytes(content)
    message = refused(room / "archive")
    assert "is damaged, or no such archive" in message
    assert "Make or copy it again" in message


def test_an_archive_of_another_kind_is_refused(room):
    write_archive(room / "archive", "result.json", {}, FILES)
    assert "no such archive" in refused(room / "archive")


def test_a_path_that_cannot_be_read_is_told_with_the_reason(room):
    assert "No such file" in refusal(read_archive, room / "none", LIST, room / "folder", of=BadBundle)
    assert "Is a directory" in refusal(read_archive, room, LIST, room / "folder", of=BadBundle)
    assert not list(room.iterdir())


@pytest.mark.parametrize("files", [{"a": entry(b"1")}, {}, ["a"], {"a": {"digest": "x"}}])
def test_a_newer_schema_is_told_whatever_its_list_looks_like(room, files):
    text = json.dumps({"schema_version": 2, "files": files})
    assert "has schema 2; this zoo reads 1" in refused(craft(room / "archive", [("a", b"1")], text=text))


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
def test_a_list_that_is_none_is_refused(room, text):
    refused(craft(room / "archive", [("a", b"1")], text=text))


def test_every_place_that_is_cut_off_is_noticed(room, good):
    for size in [*range(0, len(good), 61), len(good) - 1]:
        (room / "archive").write_bytes(good[:size])
        refused(room / "archive")


def outcome(room, content):
    """`refused`, or `equal`: there is no third."""
    (room / "archive").write_bytes(content)
    try:
        read_archive(room / "archive", LIST, room / "folder")
    except BadBundle as error:
        assert str(error).count("\n") < 2  # noqa: PT017 - either outcome is right
        assert [path.name for path in room.iterdir()] == ["archive"]
        return "refused"
    assert unpacked(room / "folder") == FILES
    shutil.rmtree(room / "folder")
    return "equal"


def test_a_flipped_byte_is_refused_or_does_not_matter(room, good):
    random_ = random.Random(0)
    found = []
    for _ in range(200):
        changed = bytearray(good)
        changed[random_.randrange(len(good))] ^= 1 << random_.randrange(8)
        found.append(outcome(room, changed))
    assert found.count("refused") > 100


def test_damage_of_many_kinds_is_refused_or_does_not_matter(room, good):
    random_ = random.Random(1)
    for _ in range(200):
        changed = bytearray(good)
        at, size = random_.randrange(len(good)), random_.randrange(1, 60)
        match random_.randrange(4):
            case 0:
                changed[at : at + size] = random_.randbytes(size)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = random_.randbytes(size)
            case 3:
                changed[at : at + size] = bytes(size)
        outcome(room, changed)


def places(content, mark):
    """Offsets of all headers that begin with a mark."""
    return [at for at in range(len(content)) if content.startswith(mark, at)]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("packing", [1, 9, 12, 14, 93, 99])
def test_other_ways_of_packing_are_refused(room, good, packing, place):
    """Those that `zipfile` unpacks too: bzip2 (12) and LZMA (14) raise errors of their own on damaged content."""
    changed = bytearray(good)
    at = places(good, b"PK\1\2")[place]
    changed[at + 10 : at + 12] = struct.pack("<H", packing)
    (room / "archive").write_bytes(changed)
    refused(room / "archive")


def test_a_damaged_file_that_is_packed_otherwise_is_refused(room):
    path = craft(room / "archive", [("a", b"1" * 999)], packing=zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    for at in places(content, b"\x5d\0\0\x80\0"):  # properties of LZMA, before each file's content
        content[at + 9 : at + 12] = b"\xff\xff\xff"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("offset", [0xFFFFFFFE, 2**40, 2**63, 2**64 - 1, -1])
def test_a_file_that_lies_where_the_archive_is_not_is_refused(room, good, offset):
    """By its offset in the directory: beyond 32 bits as ZIP64, below 0 by a directory that claims to be late."""
    content = bytearray(good)
    last = places(content, b"PK\1\2")[-1]
    end = places(content, b"PK\5\6")[-1]
    if offset == -1:
        (start,) = struct.unpack_from("<I", content, end + 16)
        struct.pack_into("<I", content, end + 16, start + 50)
        for at in places(content, b"PK\1\2"):
            (before,) = struct.unpack_from("<I", content, at + 42)
            struct.pack_into("<I", content, at + 42, before if at == last else before + 50)
        struct.pack_into("<I", content, last + 42, 49)
    elif offset < 2**32:
        struct.pack_into("<I", content, last + 42, offset)
    else:
        extra = struct.pack("<HHQ", 1, 8, offset)
        size = struct.unpack_from("<H", content, last + 28)[0]
        struct.pack_into("<H", content, last + 30, len(extra))
        struct.pack_into("<I", content, last + 42, 0xFFFFFFFF)
        content[last + 46 + size : last + 46 + size] = extra
        (length,) = struct.unpack_from("<I", content, end + len(extra) + 12)
        struct.pack_into("<I", content, end + len(extra) + 12, length + len(extra))
    (room / "archive").write_bytes(content)
    refused(room / "archive")


def test_a_name_that_is_no_text_is_refused(room, good):
    content = bytearray(good)
    at = places(content, b"PK\3\4")[-1]
    content[at + 7] |= 0x08  # says UTF-8
    content[at + 30] = 0xFF
    (room / "archive").write_bytes(content)
    refused(room / "archive")
