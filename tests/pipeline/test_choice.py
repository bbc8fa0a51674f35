"""What ships: the fastest precision that passes the gate, or the smallest where times say nothing."""

from dataclasses import replace

import pytest

from pipeline.errors import CheckFailed
from pipeline.retrieval.agreement import Agreement
from pipeline.stages.measure import Candidate, choose, choose_row
from pipeline.stages.measurement import Row
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.settings import Precision

FP32, FP16, INT8 = Candidate("fp32", 0, 9), Candidate("fp16", 0.1, 5), Candidate("int8", 0.7, 2)


ALL: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@pytest.mark.parametrize(
    ("precisions", "limit", "ships"),
    [(ALL, 1, "int8"), (ALL, 0.7, "int8"), (ALL, 0.5, "fp16"), (ALL, 0.05, "fp32"),
     (["fp32"], 1, "fp32"), (["fp16"], 0.5, "fp16"), (["int8"], 1, "int8"), (["fp16", "int8"], 0.5, "fp16")],
)  # fmt: skip
def test_what_ships_is_the_fastest_that_passes_of_those_that_may(precisions, limit, ships):
    assert choose([FP32, FP16, INT8], precisions, limit)[0] == ships
    assert choose([INT8, FP32, FP16], precisions, limit)[0] == ships


def test_a_slower_quantised_artifact_does_not_ship():
    slow = Candidate("int8", 0, 12)
    assert choose([FP32, FP16, slow], ALL, 1) == ("fp16", "speed")
    assert choose([FP32, slow], ALL, 1) == ("fp32", "speed")
    assert choose([FP32, slow], ["int8"], 1) == ("int8", "only")  # unless it is requested


@pytest.mark.parametrize(("precision", "limit", "reached"), [("int8", 0.5, "int8 0.70"), ("fp16", 0.05, "fp16 0.10")])
def test_a_precision_that_fails_fails_the_build_and_says_what_was_reached(precision, limit, reached):
    with pytest.raises(CheckFailed) as caught:
        choose([FP32, FP16, INT8], [precision], limit)
    message = str(caught.value)
    assert f"calibrate.max_map_drop_points ({limit:g}): {reached} points" in message
    assert "precision: auto" in message
    assert message.count("\n") < 2


def test_if_nothing_passes_all_losses_are_reported():
    with pytest.raises(CheckFailed, match="fp32 0.60, int8 0.70 points"):
        choose([Candidate("fp32", 0.6, 1), INT8], ALL, 0.5)


def test_a_drop_that_is_not_finite_does_not_pass():
    with pytest.raises(CheckFailed, match="int8 nan points"):
        choose([Candidate("int8", float("nan"), 1)], ALL, 100)


QUIET = Conditions(
    cores=[0, 1], governors=None, power_mode=None, before=None, after=None, seconds=9.0, other_work_cores=0.0,
    stolen_cores=0.0, throttled=None, tells_throttling=True,
)  # fmt: skip


def drop(points):
    figures = dict.fromkeys(
        ("min_cosine", "mean_cosine", "shared_neighbours", "largest_ap_drop_points", "queries_worse"), 0
    )
    return None if points is None else Agreement(**figures, map_drop_points=points, map_drop_interval=None)


def row(network, precision, *p50, size_bytes=1, steady=True, test=0.0, gate=None):
    return Row(
        network=network, precision=precision, accuracy=None, agreement=drop(test), gate=drop(gate),
        size_bytes=size_bytes, ratios=[], latency=[replace(LATENCY, p50_ms=value, steady=steady) for value in p50],
    )  # fmt: skip


LATENCY = Latency(1, 9, 1.0, None, None, 1000.0, 9, True)


def test_only_students_ship_and_batch_one_decides():
    rows = [row("teacher", "int8", 1, 1), row("student", "fp32", 3, 9), row("student", "int8", 4, 5)]
    assert choose_row(rows, ALL, 0.5, QUIET) == ("fp32", "speed")


@pytest.mark.parametrize(
    "changes", [{"other_work_cores": 1.0}, {"stolen_cores": 0.5}, {"held_back_s": 3.0}, {"throttled": "GPU too hot"}]
)
def test_times_of_a_busy_machine_do_not_decide(monkeypatch, changes):
    monkeypatch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)
    monkeypatch.setattr("targets.measuring.conditions.HELD_BACK", 0.01)
    rows = [row("student", "fp32", 3, size_bytes=9), row("student", "int8", 4, size_bytes=2)]
    assert choose_row(rows, ALL, 0.5, QUIET)[1] == "speed"
    assert choose_row(rows, ALL, 0.5, replace(QUIET, **changes)) == ("int8", "size")


def test_times_do_not_decide_if_a_passing_one_is_unsteady():
    rows = [row("student", "fp32", 3, size_bytes=9), row("student", "fp16", 4, size_bytes=5, steady=False)]
    assert choose_row(rows, ALL, 0.5, QUIET) == ("fp16", "size")
    # one that does not pass is not a candidate
    rows[1] = row("student", "fp16", 4, size_bytes=5, steady=False, test=2.0)
    assert choose_row(rows, ALL, 0.5, QUIET) == ("fp32", "only")


def test_at_equal_size_the_smaller_precision_ships():
    rows = [row("student", name, 3, steady=False) for name in ALL]
    assert choose_row(rows, ALL, 0.5, QUIET) == ("int8", "size")


def test_the_gates_split_decides_and_not_the_test_set():
    rows = [
        row("student", "fp32", 3, gate=0.0),
        row("student", "fp16", 2, test=0.0, gate=0.9),  # lucky on the test set
        row("student", "int8", 2.5, test=0.9, gate=0.1),  # unlucky there
    ]
    assert choose_row(rows, ALL, 0.5, QUIET) == ("int8", "speed")
