"""Damage is refused without a trace, or has no effect."""

import random
import shutil
import struct
import zipfile

import pytest

from targets.bundles.archive import read_archive
from targets.errors import BadBundle
from tests.targets.archive.strangers import FILES, LIST, craft, places, refused, unpacked


def test_truncation_at_any_byte_is_detected(room, good):
    for size in [*range(0, len(good), 61), len(good) - 1]:
        (room / "archive").write_bytes(good[:size])
        refused(room / "archive")


def outcome(room, content):
    """`refused` or `equal`; nothing else may happen."""
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


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("packing", [1, 9, 12, 14, 93, 99])
def test_other_compression_methods_are_refused(room, good, packing, place):
    """Those that `zipfile` unpacks too: bzip2 (12) and LZMA (14) raise errors of their own on damaged content."""
    changed = bytearray(good)
    at = places(good, b"PK\1\2")[place]
    changed[at + 10 : at + 12] = struct.pack("<H", packing)
    (room / "archive").write_bytes(changed)
    refused(room / "archive")


def test_a_damaged_file_with_another_compression_is_refused(room):
    path = craft(room / "archive", [("a", b"1" * 999)], packing=zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    for at in places(content, b"\x5d\0\0\x80\0"):  # properties of LZMA, before each file's content
        content[at + 9 : at + 12] = b"\xff\xff\xff"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("offset", [0xFFFFFFFE, 2**40, 2**63, 2**64 - 1, -1])
def test_an_offset_outside_the_archive_is_refused(room, good, offset):
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


def test_a_name_that_is_not_text_is_refused(room, good):
    content = bytearray(good)
    at = places(content, b"PK\3\4")[-1]
    content[at + 7] |= 0x08  # says UTF-8
    content[at + 30] = 0xFF
    (room / "archive").write_bytes(content)
    refused(room / "archive")
