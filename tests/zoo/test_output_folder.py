"""Folders that a user names: written whole, or not at all."""

import errno
import os
import shutil

import pytest

from zoo.errors import OutputError
from zoo.output_folder import check_folder, check_new_folder, fresh_folder


def write(out, replace=False):
    with fresh_folder(out, replace) as folder:
        (folder / "inside").write_text("new")


def test_a_folder_appears_whole_and_can_be_read_by_others(tmp_path):
    write(tmp_path / "out")
    assert (tmp_path / "out/inside").read_text() == "new"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_nothing_is_left_of_what_was_not_finished(error, tmp_path):
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)), fresh_folder(tmp_path / "out"):
        raise error
    assert [*tmp_path.iterdir()] == []


def test_the_longest_name_of_a_folder_is_no_problem(tmp_path):
    write(tmp_path / ("ö" * 127))
    assert [len(path.name) for path in tmp_path.iterdir()] == [127]


def test_what_another_process_wrote_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"
    check_new_folder(out)

    def late():
        with fresh_folder(out):
            write(out)
            (out / "inside").write_text("theirs")

    with pytest.raises(OutputError, match="out was written by another process meanwhile"):
        late()
    assert (out / "inside").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_is_replaced_on_request_and_stays_if_that_fails(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out)
    (out / "old").write_text("old")
    write(out, replace=True)
    assert [path.name for path in out.iterdir()] == ["inside"]

    real = type(out).rename

    def fail(self, target):
        if self.name != "out" and target == out and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(type(out), "rename", fail)
    with pytest.raises(OutputError, match=r"can't write .*: Input/output error\. Name another folder\."):
        write(out, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


MOMENTS = ["before the first rename", "after it", "after the second", "while the old one goes"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_exchange_leaves_one_whole_folder(moment, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out)
    (out / "old").write_text("old")
    rename, remove, calls = type(out).rename, shutil.rmtree, []

    def renamed(self, target):
        calls.append(self.name)
        if moment == "before the first rename" and len(calls) == 1:
            raise KeyboardInterrupt
        found = rename(self, target)
        if moment == {1: "after it", 2: "after the second"}.get(len(calls)):
            raise KeyboardInterrupt
        return found

    def removed(path, **more):
        if moment == "while the old one goes" and not calls[2:]:
            calls.append("removed")
            raise KeyboardInterrupt
        remove(path, **more)

    monkeypatch.setattr(type(out), "rename", renamed)
    monkeypatch.setattr("zoo.output_folder.shutil.rmtree", removed)
    with pytest.raises(KeyboardInterrupt):
        write(out, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    first = moment in ("before the first rename", "after it")
    assert (out / "old").exists() == first


def test_an_interrupt_while_the_old_folder_gets_its_place_back_loses_nothing(tmp_path, monkeypatch):
    """As Ctrl-C that is pressed twice."""
    out = tmp_path / "out"
    write(out)
    (out / "old").write_text("old")
    rename = type(out).rename

    def renamed(self, target):
        if self != out:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", renamed)
    with pytest.raises(KeyboardInterrupt):
        write(out, replace=True)
    (left,) = tmp_path.glob(".out.*.old")
    assert (left / "old").read_text() == "old"


def test_places_that_will_not_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for out, said in (
        (tmp_path / "file", "it is a file or a link"),
        (tmp_path / "link", "it is a file or a link"),
        (tmp_path / "no/where", "does not exist"),
        (tmp_path / "file/x", "does not exist"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(OutputError, match=said):
            check_folder(out)
    monkeypatch.setattr(os.path, "ismount", lambda _: True)
    with pytest.raises(OutputError, match="it is a mount point. Name a new folder in it"):
        check_folder(tmp_path)


def test_a_full_folder_is_told_from_an_empty_one(tmp_path):
    assert not check_folder(tmp_path / "new")
    (tmp_path / "some").mkdir()
    assert not check_folder(tmp_path / "some")
    (tmp_path / "some/file").write_text("")
    assert check_folder(tmp_path / "some")
    with pytest.raises(OutputError, match="is there and not empty"):
        check_new_folder(tmp_path / "some")


def test_a_folder_that_can_not_be_listed_is_an_error_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "shut").mkdir()

    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(OutputError, match="shut: Permission denied"):
        check_folder(tmp_path / "shut")
