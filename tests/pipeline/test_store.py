"""The store: whole results under their key, or nothing."""

import errno
import json

import pytest

from pipeline.errors import StoreError
from pipeline.store import Store, explain, read_record


def test_a_result_appears_whole(tmp_path):
    store = Store(tmp_path)
    with store.produce("teacher", "k1", {"seed": 1}) as (out, _):
        (out / "weights").write_text("w")
        assert not store.has("teacher", "k1")
    assert store.has("teacher", "k1")
    assert (store.folder("teacher", "k1") / "weights").read_text() == "w"
    record = read_record(store.folder("teacher", "k1"))
    assert record["seed"] == 1
    assert record["seconds"] >= 0
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_a_failed_stage_leaves_scratch_and_no_result(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.produce("distill", "k", {}) as (out, scratch):  # noqa: PT012
        (out / "half").write_text("half")
        (scratch / "checkpoint").write_text("c")
        raise RuntimeError
    assert not store.has("distill", "k")
    assert store.unfinished("distill", "k") == "did not finish"
    with store.produce("distill", "k", {}) as (out, scratch):
        assert list(out.iterdir()) == []
        assert (scratch / "checkpoint").read_text() == "c"
    assert store.has("distill", "k")


def test_two_builds_of_one_stage(tmp_path):
    store, other = Store(tmp_path), Store(tmp_path)
    refused = pytest.raises(StoreError, match="another build is at work on export")
    with store.produce("export", "k", {}), refused, other.produce("export", "k", {}):
        pass
    assert store.has("export", "k")


def test_an_unreadable_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't use .*ZOO_HOME"):
        Store(tmp_path / "file")


def test_a_damaged_record(tmp_path):
    store = Store(tmp_path)
    with store.produce("compact", "k", {}):
        pass
    (store.folder("compact", "k") / "stage.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged. Remove"):
        read_record(store.folder("compact", "k"))


def test_a_result_that_another_build_made_meanwhile_is_taken(tmp_path):
    store = Store(tmp_path)
    with store.produce("compact", "k", {}) as (out, _):
        (out / "theirs").touch()
    with store.produce("compact", "k", {}) as folders:
        assert folders is None
    assert (store.folder("compact", "k") / "theirs").exists()


def test_a_result_that_lost_its_record_is_made_again(tmp_path):
    store = Store(tmp_path)
    (store.folder("compact", "k") / "remains").mkdir(parents=True)
    with store.produce("compact", "k", {}) as (out, _):
        (out / "new").touch()
    assert sorted(path.name for path in store.folder("compact", "k").iterdir()) == ["new", "stage.json"]


def test_a_full_disk_says_so(tmp_path):
    message = str(explain(OSError(errno.ENOSPC, "No space left on device"), tmp_path))
    assert "no space left" in message
    assert "goes on from the last finished stage" in message


def test_records_are_json(tmp_path):
    store = Store(tmp_path)
    with store.produce("compact", "k", {"a": [1]}):
        pass
    assert json.loads((store.folder("compact", "k") / "stage.json").read_text())["a"] == [1]
