"""The store: complete results under their key, or nothing."""

import errno
import json

import pytest

from pipeline.data.images import read_image
from pipeline.engine.plan import make_plan
from pipeline.engine.processes import Processes
from pipeline.engine.run import run_plan
from pipeline.engine.step import Step, StepId
from pipeline.engine.store import Store, explain, read_record
from pipeline.errors import DataError, StageFailed, StoreError
from pipeline.progress import Silent
from targets.errors import first_line, in_a_line
from tests.helpers import SMALL
from zoo.release.reading import first_problem


def test_a_result_appears_whole(tmp_path, monkeypatch):
    clock = iter([100.0, 102.04])
    monkeypatch.setattr("pipeline.engine.store.monotonic", lambda: next(clock))
    store = Store(tmp_path)
    with store.produce("teacher", "k1", {"seed": 1}) as (out, _):
        (out / "weights").write_text("w")
        assert not store.has("teacher", "k1")
    assert store.has("teacher", "k1")
    assert (store.folder("teacher", "k1") / "weights").read_text() == "w"
    record = read_record(store.folder("teacher", "k1"))
    assert record["seed"] == 1
    assert record["seconds"] == 2.0
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
    refused = pytest.raises(StoreError, match="another build is running export")
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


def test_a_result_of_another_build_is_reused(tmp_path):
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
    assert "to continue from the last finished stage" in message


def test_records_are_json(tmp_path):
    store = Store(tmp_path)
    with store.produce("compact", "k", {"a": [1]}):
        pass
    assert json.loads((store.folder("compact", "k") / "stage.json").read_text())["a"] == [1]


def produced(store, error):
    with store.produce("compact", "k", {}):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/set/a.jpg"),
        PermissionError(errno.EACCES, "Permission denied", "/etc/shadow"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        OSError(errno.EMFILE, "Too many open files"),
        OSError("a library that does not load"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_outside_the_store_are_re_raised(tmp_path, error):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - it is this very one
        produced(Store(tmp_path), error)
    assert caught.value is error


def test_a_file_that_a_stage_did_not_write_is_not_a_store_error(tmp_path):
    store = Store(tmp_path)
    error = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "unfinished/compact-k/out/cost.json"))
    with pytest.raises(FileNotFoundError):
        produced(store, error)


def test_a_result_without_a_file_is_reported_with_the_remedy(tmp_path):
    error = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "teacher/abc/network.json"))
    with pytest.raises(StoreError) as caught:
        produced(Store(tmp_path), error)
    folder = tmp_path / "teacher/abc"
    assert str(caught.value) == f"{folder}/network.json is missing. Remove {folder} to run its stage again."


def test_a_store_without_permission_is_reported(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "unfinished/compact-k/out/cost.json"))
    with pytest.raises(StoreError, match="can't use .*cost.json: Permission denied. Check its owner and mode"):
        produced(Store(tmp_path), error)


@pytest.mark.parametrize(
    ("file", "told"),
    [(None, "below {store} "), ("{store}/teacher/x", "below {store} "), ("/elsewhere/x", "/elsewhere/x ")],
)
def test_the_full_disk_is_named(tmp_path, file, told):
    error = OSError(errno.ENOSPC, "No space left on device", file and file.format(store=tmp_path))
    with pytest.raises(StoreError, match=f"^no space left while writing {told.format(store=tmp_path)}") as caught:
        produced(Store(tmp_path), error)
    assert ("ZOO_HOME" in str(caught.value)) == told.startswith("below")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/a.jpg"), "mine: can't use /data/a.jpg: No such file. "),
        (OSError(errno.EMFILE, "Too many open files"), "mine: was stopped by the system: Too many open files. "),
    ],
)
def test_a_system_error_in_a_stage_is_reported_in_one_line(tmp_path, error, told):
    def fail(_work):
        raise error

    store = Store(tmp_path)
    plan = make_plan([Step(StepId("mine"), fail, 1, {})], store, {})
    with pytest.raises(StageFailed) as caught:
        run_plan(plan, store, Processes("cpu"), Silent())
    assert str(caught.value).startswith(told)
    assert len(str(caught.value).splitlines()) == 1


NAMELESS = [EOFError(), MemoryError(), ValueError("\n"), RuntimeError(""), OSError()]


@pytest.mark.parametrize("error", NAMELESS, ids=lambda error: type(error).__name__)
def test_an_error_without_text_is_reported_by_its_name(error):
    for told in (first_line(error), in_a_line(error), first_problem(error)):
        assert told == type(error).__name__


def test_a_decoder_error_without_text_is_reported(tmp_path, monkeypatch):
    def give_up(*_, **__):
        raise OSError

    monkeypatch.setattr("PIL.Image.open", give_up)
    with pytest.raises(DataError, match=r"can't decode image .*a\.jpg: OSError\. Replace or remove it"):
        read_image(tmp_path / "a.jpg", SMALL)
