"""Concurrent trainings: equal to those run alone, with a shared teacher."""

import dataclasses
import json

import pytest

from bench.speed import Timed, at_equal_time
from bench.study import main, make_trials, read_options, table, time_table
from bench.trials import Run, plan_trial, run_in_parallel, run_one_by_one
from pipeline.progress import Silent

TINY = ("--recipes", "tiny")
RUN = Run("a", "", 0, 50.0, 51.0, 60.0, 0.5, 0.5, 10.0, None)


def figures(runs):
    """Figures that do not depend on speed."""
    return [dataclasses.replace(run, seconds=0, waiting=None) for run in sorted(runs, key=lambda run: run.at)]


def test_all_recipes_and_values_run_with_one_seed_before_the_next(workshop, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    options = read_options(
        ["--recipes", "tiny", "--seeds", "2", "--vary", "distill.epochs=4,5", "--set", "teacher.epochs=3"]
    )
    trials = [*make_trials(options)]
    assert [(trial.recipe.seed, trial.recipe.distill.epochs) for trial in trials] == [(0, 4), (0, 5), (1, 4), (1, 5)]
    assert {trial.recipe.teacher.epochs for trial in trials} == {3}
    assert trials[1].title == "tiny, distill.epochs=5, seed 0"


def test_small_networks_learn_from_the_teacher_of_the_others(workshop, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    text = (
        workshop.catalogue.read_text()
        + "\n  study-small: {base: tiny, distill: {method: fixed, init: random, compress: null}}\n"
    )
    workshop.catalogue.write_text(text)
    pruned, small = make_trials(read_options([*TINY, "--small", "resnet14t", "--seeds", "1"]))
    assert small.name == small.recipe.network.architecture == "resnet14t"
    assert small.recipe.teacher_network == pruned.recipe.teacher_network == pruned.recipe.network


def test_a_study_holds_out_the_same_identities_as_a_build(workshop, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    monkeypatch.setenv("ZOO_HOME", str(workshop.home))
    (trial,) = make_trials(read_options([*TINY, "--seeds", "1", "--data-root", str(workshop.root / "data")]))
    plan, _ = plan_trial(trial, Silent())
    index = plan[0].step.data
    assert index is not None
    assert (index.train.identity_count, index.gate.identity_count) == (8, 2)


@pytest.mark.gpu
@pytest.mark.timeout(300)
def test_every_method_of_the_studies_runs_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    small = ("network.architecture=resnet10t", "input.height=16", "input.width=16", "distill.compress.macs=0.5")
    short = ("sampling.identities=32", "teacher.epochs=1", "distill.epochs=2")
    options = [option for setting in (*small, *short) for option in ("--set", setting)]
    trials = [*make_trials(read_options(["--dataset", "toycars", "--seeds", "1", *options]))]
    assert len(trials) > 8
    results = {trial.name: run for trial, run in run_in_parallel(trials, "cuda", 6, Silent())}
    assert {name: run for name, run in results.items() if not isinstance(run, Run)} == {}


def test_a_study_without_finished_runs_says_so():
    assert "no run has finished" in table([])


def test_the_table_separates_varied_values():
    worse = dataclasses.replace(RUN, recipe="b", map=40.0)
    other = dataclasses.replace(RUN, recipe="b", map=45.0, seed=1)
    assert table([RUN, worse, other]).splitlines()[2:4] == [
        "| a | 51.00 | 1.00 | 60.00 | 50.0 | 50.0 | 1 |",
        "| b | 42.50 ± 3.54 | -7.50 ± 3.54 | 60.00 ± 0.00 | 50.0 ± 0.0 | 50.0 ± 0.0 | 2 |",
    ]
    varied = [dataclasses.replace(run, at=at) for at in ("x=2", "x=1") for run in (worse, RUN)]
    rows = table(varied).splitlines()
    assert [row.split(" | ")[:2] for row in rows[2:6]] == [
        ["| a", "x=2"],
        ["| b", "x=2"],
        ["| a", "x=1"],
        ["| b", "x=1"],
    ]
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.slow
def test_parallel_trainings_equal_those_run_alone(workshop, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data = ["--data-root", str(workshop.root / "data")]
    options = read_options([*TINY, "--vary", "distill.sparsity_weight=0.1,14", "--seeds", "1", *data])
    trials = [*make_trials(options)]
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "parallel"))
    together = dict(run_in_parallel(trials, "cpu", 2, Silent()))
    assert len([*(tmp_path / "parallel" / "store" / "teacher").iterdir()]) == 1
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "alone"))
    alone = dict(run_one_by_one(trials, "cpu", Silent()))
    assert figures(together.values()) == figures(alone.values())
    assert figures(alone.values())[0] != figures(alone.values())[1]


@pytest.mark.slow
def test_a_training_that_fails_is_reported_and_the_others_continue(workshop, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    data = ["--data-root", str(workshop.root / "data")]
    (fine,) = make_trials(read_options(["--recipes", "tiny", "--seeds", "1", *data]))
    (broken,) = make_trials(
        read_options(["--recipes", "tiny", "--seeds", "1", *data, "--set", "sampling.identities=99"])
    )
    results = dict(run_in_parallel([broken, fine], "cpu", 2, Silent()))
    assert "lower sampling.identities" in results[broken].lower()
    assert isinstance(results[fine], Run)


def test_recipes_are_compared_at_the_milliseconds_of_the_first():
    times = [Timed("ours", "x=1", 1.0), Timed("ours", "x=2", 4.0), Timed("a", "x=1", 2.0), Timed("a", "x=2", 8.0)]
    accuracy = {("ours", "x=1"): 40.0, ("ours", "x=2"): 50.0, ("a", "x=1"): 40.0, ("a", "x=2"): 44.0}
    found = at_equal_time(accuracy, times, "ours")
    assert found["ours"] == pytest.approx({"x=1": 40.0, "x=2": 50.0})
    assert found["a"] == pytest.approx({"x=2": 42.0})  # 4 ms is in the middle of 2 and 8; 1 ms is faster than both
    runs = [dataclasses.replace(RUN, recipe=name, at=at, map=value) for (name, at), value in accuracy.items()]
    assert time_table(runs, times, "ours").splitlines()[2:] == [
        "| ours | 1.000 | 40.00 | 4.000 | 50.00 |",
        "| a | 2.000 |  | 8.000 | 42.00 |",
    ]


@pytest.mark.slow
def test_networks_of_a_study_are_timed_on_a_target(workshop, tmp_path, monkeypatch, capsys):
    for name, value in {"ZOO_CATALOGUE": workshop.catalogue, "ZOO_HOME": tmp_path / "home"}.items():
        monkeypatch.setenv(name, str(value))
    options = ["--data-root", str(workshop.root / "data"), "--seeds", "1", "--time", "onnxruntime-cpu"]
    monkeypatch.setattr("sys.argv", ["study", *TINY, *options, "--out", str(tmp_path / "study")])
    main()
    assert "| tiny | 0." in capsys.readouterr().out
    times = json.loads((tmp_path / "study.json").read_text())["times"]
    assert [row["recipe"] for row in times["rows"]] == ["(teacher, dense)", "tiny"]
    assert all(row["p50_ms"] > 0 for row in times["rows"])
