"""`zoo clean` keeps what a release or an unfinished build needs, removes the rest, and prints its size."""

import json
import os
import shutil

import pytest

from pipeline.engine.claims import claimed, cleaning, find_unneeded, remove
from pipeline.engine.plan import make_plan
from pipeline.engine.step import Step, StepId
from pipeline.engine.store import Store
from pipeline.errors import StoreError
from tests.zoo.cli.conftest import document


def write(work):
    """A stage that does nothing."""


def made(store, *steps, size=1000):
    """Produce some steps; their plan as it was before."""
    plan = make_plan(steps, store, {})
    for planned in plan:
        if not planned.hit:
            with store.produce(planned.step.stage, planned.key, planned.ingredients) as (out, _):
                (out / "weights").write_bytes(os.urandom(size))
    return plan


def chain(seed):
    return (
        Step(StepId("teacher"), write, 1, {"seed": seed}),
        Step(StepId("distill"), write, 1, {}, inputs={"teacher": StepId("teacher")}),
        Step(StepId("record"), write, 1, {}, inputs={"teacher": StepId("teacher"), "distill": StepId("distill")}),
    )


def results(plan):
    return {(planned.step.stage, planned.key) for planned in plan}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def gone(store, kept=(), broken_off=False):
    with cleaning(store):
        found = find_unneeded(store, kept, broken_off)
        remove(store, found)
    return found


def test_inputs_of_a_record_are_kept_and_the_rest_is_removed(store):
    kept, other = made(store, *chain(1)), made(store, *chain(2), size=5000)
    found = gone(store, [("record", kept[-1].key)])
    assert {*found.results} == results(other)
    assert 15_000 <= found.size_bytes < 20_000  # including each stage's record
    assert all(store.has(*one) for one in results(kept))
    assert not any(store.has(*one) for one in results(other))
    assert list(store.unfinished_folder.iterdir()) == []
    assert gone(store, [("record", kept[-1].key)]).results == {}


def test_shared_bytes_are_not_counted(store):
    (plan,) = made(store, chain(1)[0], size=1_000_000)
    os.link(store.folder("teacher", plan.key) / "weights", store.root.parent / "elsewhere")
    assert gone(store).size_bytes < 10_000


def test_results_of_an_interrupted_build_are_kept(store):
    plan = make_plan(chain(1), store, {})
    with pytest.raises(KeyboardInterrupt), claimed(store, plan):  # noqa: PT012
        made(store, chain(1)[0])
        with store.produce("distill", plan[1].key, {}) as (_, scratch):
            (scratch / "checkpoint").write_bytes(b"c" * 1000)
            raise KeyboardInterrupt
    assert gone(store).results == {}
    assert store.has("teacher", plan[0].key)
    found = gone(store, broken_off=True)
    assert {*found.results} == {("teacher", plan[0].key)}
    assert [path.name for path in found.unfinished] == [f"distill-{plan[1].key}"]
    assert sorted(path.name for path in store.root.rglob("*") if path.is_file()) == ["clean.lock"]


def test_results_of_a_running_build_are_always_kept(store):
    made(store, *chain(1)[:2])
    plan = make_plan(chain(1), store, {})
    with claimed(store, plan):
        assert gone(store, broken_off=True).results == {}
    assert {*gone(store).results} == results(plan[:2])


def test_the_same_build_in_another_process_protects_results_until_it_ends(store):
    plan = make_plan(chain(1), store, {})
    with claimed(store, plan):
        with claimed(store, plan):
            pass
        kept = {path.suffix for path in (store.root / "builds").iterdir() if path.stem != "clean"}
        assert kept == {".json", ".lock"}
    assert not [path for path in (store.root / "builds").iterdir() if path.stem != "clean"]


def test_a_build_without_missing_results_writes_nothing(store):
    made(store, *chain(1))
    before = sorted(store.root.rglob("*"))
    with claimed(store, make_plan(chain(1), store, {})):
        assert sorted(store.root.rglob("*")) == before


def test_a_result_removed_before_the_build_is_reported(store):
    made(store, *chain(1)[:2])
    plan = make_plan(chain(1), store, {})
    gone(store)
    with pytest.raises(StoreError, match=r"^teacher was removed from the store meanwhile"), claimed(store, plan):
        pytest.fail("it begins")


def test_nothing_is_removed_if_the_inputs_of_a_result_are_unknown(store):
    kept, _ = made(store, *chain(1)), made(store, *chain(2))
    (store.folder("distill", kept[1].key) / "stage.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        gone(store, [("record", kept[-1].key)])
    assert len([*store.root.glob("*/*/weights")]) == 6


def test_the_command(built):
    stale = Store(built.home / "store")
    made(stale, *chain(7), size=3_000_000)

    def files():
        return sorted(path for path in built.home.rglob("*") if path.is_file() and path.name != "clean.lock")

    before = files()
    told = f"3 results, 9.0 MB, from {built.home}/store (1 of distill, 1 of record, 1 of teacher)\n"
    assert built.zoo("clean", "--dry-run").stdout == "would remove " + told
    assert files() == before
    content = document("clean", built.zoo("clean", "--dry-run", "--json").stdout)
    assert (len(content["results"]), content["unfinished"], content["dry_run"]) == (3, [], True)
    assert built.zoo("clean").stdout == "removed " + told
    assert built.zoo("clean").stdout == f"removed 0 results, 0.0 MB, from {built.home}/store\n"
    assert built.zoo("verify", "tiny").exit_code == 0
    plan = json.loads(built.zoo("build", "--plan", "--json").stdout)
    assert not [step for step in plan["steps"] if step["runs"]]  # a release keeps all of its inputs

    shutil.rmtree(built.home / "releases")
    assert len(document("clean", built.zoo("clean", "--json").stdout)["results"]) == len(plan["steps"])
