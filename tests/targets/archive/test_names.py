"""Members that lead elsewhere, are not plain files, or conflict with each other are refused."""

import json
import stat
import zipfile

import pytest

from targets.bundles.archive import safe_name
from tests.targets.archive.strangers import LIST, craft, entry, refused


def special(kind, name="a"):
    """A member that is not a plain file."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "..", "/etc/x", "//x", "C:\\x", "C:x", "a\\b", "..\\x", "./a", "a//b", "a/", ".", "a\n"],
)
def test_names_that_lead_elsewhere_are_refused(room, name):
    message = refused(craft(room / "archive", [("fine", b"1"), (name, b"2")]))
    assert f"holds a file named {name!r}, which leads out of its folder" in message


@pytest.mark.parametrize(
    "name",
    ["a.", "a./b", "...", "a ", "a /b", " a", "b/ a", "-", "-rf", "b/--help", "~", "~root", "CON", "con.txt",
     "b/Aux.x.y", "nul", "PRN .txt", "com0", "COM9.log", "lpt3", "com¹", "x" * 201, "ü" * 101, "a\x1b[2J", "a\u202eb"],
)  # fmt: skip
def test_names_that_are_special_on_some_system_are_refused(room, name):
    assert not safe_name(name)
    message = refused(craft(room / "archive", [("fine", b"1"), (name, b"2")]))
    assert "not a valid name on every system" in message
    assert "\x1b" not in message


@pytest.mark.parametrize("name", ["a\ud800", "a\0", "a\0b", ""])
def test_names_that_no_disk_can_store_are_invalid(name):
    """Half of a surrogate pair among them, which JSON can say."""
    assert not safe_name(name)


@pytest.mark.parametrize("kind", ["LNK", "DIR", "CHR", "BLK", "IFO", "SOCK"])
def test_links_folders_and_devices_are_refused(room, kind):
    member = special(getattr(stat, f"S_IF{kind}"))
    assert "which is a link or a folder, not a file" in refused(craft(room / "archive", [(member, b"/etc/passwd")]))


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "A/b"), ("ß", "SS"), ("a", LIST.upper())])
def test_names_that_are_equal_or_differ_in_case_only_are_refused(room, names):
    assert "a name twice" in refused(craft(room / "archive", [(name, b"1") for name in names]))


def test_a_second_list_is_refused(room):
    text = json.dumps({"schema_version": 1, "files": {"a": entry(b"1")}}).encode()
    assert "a name twice" in refused(craft(room / "archive", [("a", b"1"), (LIST, text)], text=text))


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_file_and_folder_at_once_is_refused(room, names):
    refused(craft(room / "archive", [(name, b"1") for name in names]))


@pytest.mark.parametrize("name", ["a" * 300, "a" * 3000, "/".join("a" * 3000)], ids=["wide", "wider", "deep"])
def test_names_that_the_disk_does_not_allow_are_refused(room, name):
    refused(craft(room / "archive", [(name, b"1")]))
