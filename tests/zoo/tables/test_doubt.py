"""Times of a busy or unsteady machine are shown, but unreliable: no ratio, no best, no point on a plot."""

import pytest

from tests.zoo.records import AGREEMENT, CONDITIONS, dense, latency, measurement, ratio, release
from zoo.release.measurements import Measured
from zoo.tables import compare, gains, measurement_rows
from zoo.tables.diff import diff
from zoo.tables.formats import as_json, markdown
from zoo.tables.pareto import front
from zoo.tables.plot import plot
from zoo.tables.search import found, read_question

BUSY = CONDITIONS | {"other_work_cores": 1.2, "stolen_cores": 0.0}
WHY = "other processes kept 1.2 of 2 cores busy"
ONNX = {"target": "onnxruntime-cpu", "runtime": {"name": "onnxruntime", "version": "1", "device": "CPU"}}


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """The real limits, which other tests disable to be independent of their machine."""
    monkeypatch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)
    monkeypatch.setattr("targets.measuring.conditions.HELD_BACK", 0.01)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"conditions": BUSY}, WHY),
        ({"conditions": CONDITIONS | {"held_back_s": 3.0}}, "the CPU quota of the control group throttled it for 3 s"),
        ({"latency": [latency(), latency(8, 30.0, steady=False)]}, "never became steady"),
    ],
)
def test_a_row_says_why_its_times_are_unreliable(changes, why):
    (row,) = measurement_rows([release(records=[measurement(**changes)])])
    assert (row["doubt"], row["steady"]) == (why, why is None)
    assert row["p50_ms"] == 5.0, "what was measured is told"
    assert (row["ratio_to_dense"] is None) == (row["ratio_low"] is None) == (why is not None)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [({}, True), ({"throttled": "too hot"}, False), ({"conditions": BUSY}, False), ({"steady": False}, False)],
)
def test_times_count_on_an_idle_machine_that_is_not_throttled(changes, counts):
    assert measurement(**changes).counts == counts


@pytest.mark.parametrize("doubtful", ["student", "teacher"])
def test_there_is_no_ratio_if_either_of_the_two_is_unsteady(doubtful):
    records = [dense(steady=doubtful != "teacher"), measurement(steady=doubtful != "student")]
    rows = measurement_rows([release(records=records)])
    assert [row["ratio_to_dense"] for row in rows] == [None, None]
    assert measurement_rows([release(records=[dense(), measurement()])])[1]["ratio_to_dense"] == pytest.approx(3)


def test_a_dense_network_of_another_run_or_target_does_not_affect_ratios():
    others = [dense(steady=False, run="two"), dense(steady=False, **ONNX)]
    row = measurement_rows([release(records=[dense(), measurement(), *others])])[1]
    assert row["ratio_to_dense"] == pytest.approx(3)


def test_no_time_is_best_if_one_of_the_shipped_is_in_doubt():
    quiet = [measurement(), measurement(7.0, **ONNX)]
    (group,) = compare([release(records=quiet)]).groups
    assert group.best["p50_ms"] == [0]
    (group,) = compare([release(records=[quiet[0], measurement(7.0, steady=False, **ONNX)])]).groups
    assert not {"p50_ms", "p90_ms", "p99_ms", "images_per_second"} & {*group.best}
    assert group.best["size_bytes"] == [0, 1], "what is no time has its best"
    # rows that do not ship do not matter
    (group,) = compare(
        [release(records=[*quiet, measurement(1.0, steady=False, ships=False, precision="fp16")])]
    ).groups
    assert group.best["p50_ms"] == [0]


def test_a_table_names_rows_in_doubt_and_why():
    comparison = compare([release(records=[dense(), measurement(conditions=BUSY)])])
    note = f"unsteady, times not compared ({WHY}): student int8 on openvino-cpu"
    assert note in comparison.groups[0].notes
    assert note in markdown(comparison)
    assert as_json(comparison)["tables"][0]["rows"][1]["doubt"] == WHY


def test_gains_withhold_the_ratio_and_say_how_to_measure_again():
    (_, told) = gains(release(records=[dense(conditions=BUSY), measurement(conditions=BUSY)]))
    assert told == f"openvino-cpu ships int8: mAP 80.00; unsteady ({WHY}): on an idle machine, zoo bench big@1.0.0"
    (_, told) = gains(release(records=[dense(steady=False), measurement()]))
    assert told.endswith("; unsteady (the dense network never became steady): on an idle machine, zoo bench big@1.0.0")
    (_, told) = gains(release(records=[dense(), measurement()]))
    assert "3.00× (2.90 … 3.10) the dense teacher's speed" in told


def test_an_artifact_that_ships_by_its_size_is_not_called_the_fastest():
    (_, told) = gains(release(records=[dense(), measurement(steady=False, ships_by="size")]))
    assert "ships int8: mAP 80.00, the smallest that passes the gate, since no time is reliable; unsteady" in told


def test_no_point_in_doubt_is_on_the_front_or_the_plot(tmp_path):
    rows = measurement_rows([release(records=[measurement(), measurement(1.0, 90.0, steady=False, **ONNX)])])
    assert [row["target"] for row in front(rows)] == ["openvino-cpu"]
    comparison = compare([release(records=[measurement(), measurement(1.0, 90.0, conditions=BUSY, **ONNX)])])
    plot(comparison.groups, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert f"left out as unsteady ({WHY}): 1" in drawn


def test_a_difference_between_busy_runs_is_unsure():
    after = release(version="1.1.0", records=[measurement(9.0, conditions=BUSY, ratios=[])])
    change = diff(release(records=[measurement(ratios=[])]), after, 0.5, 5.0).of("unsure")[0]
    assert change.why == f"unsteady, after: {WHY}"


def test_steady_rows_can_be_searched():
    comparison = compare([release(records=[measurement(), measurement(conditions=BUSY, **ONNX)])])
    rows = found(comparison, read_question("steady"), None, False).comparison.rows
    assert [row["target"] for row in rows] == ["openvino-cpu"]


def test_older_records_without_newer_fields_are_read_and_judged():
    kept = measurement(conditions=BUSY).model_dump(mode="json")
    for name in ("gate", "ships_by"):
        del kept[name]
    del kept["conditions"]["held_back_s"]
    again = Measured.model_validate(kept)
    assert (again.doubt, again.gate, again.ships_by) == (WHY, None, None)


def test_a_record_says_what_decided_the_choice():
    record = measurement(gate=AGREEMENT, ships_by="speed", ratios=[ratio(2, 3)])
    assert Measured.model_validate(record.model_dump(mode="json")) == record
