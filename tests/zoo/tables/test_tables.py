"""Which figures are comparable and best, and which rows a question finds."""

import pytest

from tests.zoo.records import (
    ACCURACY,
    ORIN,
    a_calibration,
    a_manifest,
    broken,
    dense,
    energy,
    estimated,
    latency,
    measurement,
    pending,
    release,
)
from tests.zoo.tables.printed import ONNX, OPENVINO, shown
from zoo.errors import CompareError
from zoo.tables import calibration_rows, compare, gains
from zoo.tables.comparison import by_column
from zoo.tables.formats import markdown


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"data": "c" * 64}, "data"),
        ({"protocol": "cosine; re-ranked"}, "accuracy"),
        ({"accuracy": ACCURACY | {"queries": 99}}, "queries"),
        ({"device": ORIN}, "device"),
        ({"runtime": {"name": "openvino", "version": "1", "device": "GPU"}}, "computes on"),
        ({"power_mode": "15W"}, "power mode"),
        ({"threads": 1}, "threads"),
        ({"batch": 8}, "batch"),
        ({"latency": [latency(), latency(batch=8)]}, "batch of images/s"),
        ({"latency": [latency(timer="compute only")]}, "timer"),
    ],
)
def test_each_protocol_has_its_own_table_and_a_line_says_why(changes, field):
    both = compare([release(), release("small", records=[measurement(**changes)])])
    assert len(both.groups) == 2
    assert f"{field} (" in both.apart
    assert both.apart in " ".join(shown(both).split("\n"))
    assert both.apart in markdown(both)


def test_the_line_names_the_values_between_which_tables_differ():
    both = compare([release(), release("small", records=[measurement(threads=1, power_mode="15W")])])
    assert both.apart.endswith("they differ in power mode (– / 15W); threads (2 / 1)")


def test_runtimes_versions_and_runs_share_a_table():
    other = measurement(run="two", runtime={"name": "onnxruntime", "version": "1", "device": "CPU"}, **ONNX)
    both = compare([release(), release("small", records=[other])])
    assert len(both.groups) == 1
    assert both.apart is None
    assert "2 runs: only figures of one run were timed in turn" in shown(both)


def test_cuda_and_tensorrt_compute_on_one_gpu():
    units = [measurement(runtime={"name": "any", "version": "1", "device": name}) for name in ("CUDA", "GPU")]
    assert len(compare([release(records=units)]).groups) == 1


def test_float_and_device_accuracy_share_a_row_if_their_protocols_match():
    (row,) = compare([release()]).rows
    assert (row["map_float"], row["map"]) == (80.2, 80.0)
    for changes in ({"protocol": "re-ranked"}, {"data": "c" * 64}, {"accuracy": ACCURACY | {"queries": 99}}):
        (row,) = compare([release(records=[measurement(**changes)])]).rows
        assert row["map_float"] is None


def test_rows_without_accuracy_join_the_table_with_a_note():
    blind = measurement(accuracy=None, agreement=None, data=None, **ONNX)
    (group,) = compare([release(records=[blind, measurement()])]).groups
    assert (group.protocol["data"], group.protocol["queries"]) == ("a" * 64, 100)
    assert "only times measured, no accuracy: student int8 on onnxruntime-cpu" in group.notes


def test_a_run_that_never_became_steady_is_named_unless_it_is_void():
    restless = [measurement(steady=False), measurement(steady=False, throttled="heat", **ONNX)]
    (group,) = compare([release(records=restless)]).groups
    assert "unsteady, times not compared (never became steady): student int8 on openvino-cpu" in group.notes


def test_gains_are_shown_with_the_ratio_and_with_reranking():
    ranked = [ACCURACY | {"map": map_, "protocol": "re-ranked over k=20"} for map_ in (88.0, 84.0)]
    assert gains(release(records=[dense(reranked=ranked[0]), measurement(reranked=ranked[1])])) == [
        "compaction removed 75.0 % of MACs and 75.0 % of parameters; mAP 85.00 (teacher) → 80.20 (student)",
        "openvino-cpu ships int8: mAP 80.00, 3.00× (2.90 … 3.10) the dense teacher's speed in the same run (batch 1)",
        "openvino-cpu, re-ranked: mAP 88.00 (teacher) → 84.00 (student)",
    ]


def test_high_map_and_low_times_are_best_and_ties_all():
    fast, exact = measurement(4, 79, **OPENVINO), measurement(5, 80, **ONNX)
    (group,) = compare([release(records=[fast, exact])]).groups
    assert group.best["p50_ms"] == [0]
    assert group.best["images_per_second"] == [0]
    assert group.best["map"] == [1]
    assert group.best["size_bytes"] == [0, 1]


def test_figures_that_print_the_same_are_equally_good():
    (group,) = compare([release(records=[measurement(4.001), measurement(4.004, **ONNX)])]).groups
    assert group.best["p50_ms"] == [0, 1]


def test_rows_that_do_not_ship_are_never_best():
    records = [measurement(1, 99, ships=False), dense(1, map_=99), measurement(5), measurement(6, **ONNX)]
    (group,) = compare([release(records=records)]).groups
    assert group.best["p50_ms"] == [2]
    assert group.best["map"] == [2, 3]


def test_a_single_row_is_not_best_nor_is_one_across_tables():
    both = compare([release(), release("small", records=[measurement(1, 99, threads=1)])])
    assert [group.best for group in both.groups] == [{}, {}]


def test_a_ratio_to_ones_own_dense_network_is_never_best():
    (group,) = compare([release(records=[measurement(), measurement(**ONNX)])]).groups
    assert "ratio_to_dense" not in group.best


def test_energy_of_two_meters_has_no_best_and_says_so():
    records = [measurement(energy=energy("NVML")), measurement(energy=energy("RAPL", 2), **ONNX)]
    both = compare([release(records=records)])
    assert "mj_per_image" not in both.groups[0].best
    assert "not comparable with" in shown(both)
    records = [measurement(energy=energy("RAPL")), measurement(energy=energy("RAPL", 2), **ONNX)]
    assert compare([release(records=records)]).groups[0].best["mj_per_image"] == [1]


def test_the_dense_network_has_its_own_cost_and_accuracy():
    rows = compare([release(records=[dense(), measurement()])]).rows
    assert [(row["parameters"], row["macs"], row["map_float"]) for row in rows] == [
        (4_000_000, 40_000_000, 85.0), (1_000_000, 10_000_000, 80.2),
    ]  # fmt: skip


@pytest.mark.parametrize(("holds", "said"), [(True, "holds"), (False, "does not hold")])
def test_a_quantised_graph_is_shown_with_its_gate(holds, said):
    (row,) = calibration_rows(a_manifest(calibrations=[a_calibration(holds=holds)]))
    assert (row["gate"], row["float layers"], row["map_drop_points"]) == (said, "conv_7", 0.2)
    assert (row["mean_cosine"], row["smallest cosine"]) == (0.99, "0.90000")  # which the gate does not look at


BOTH = [measurement(), measurement(device=ORIN, target="jetson-orin-nano"), pending("raspberrypi5")]


BOTH += [estimated("raspberrypi4"), broken("raspberrypi3")]


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        ("epyc", ["openvino-cpu"]),
        ("ORIN-nano", ["jetson-orin-nano"]),
        ("nano orin", ["jetson-orin-nano"]),
        ("openvino-cpu", ["openvino-cpu"]),
        ("edge", ["jetson-orin-nano"]),
        ("raspberry", ["raspberrypi4", "raspberrypi5", "raspberrypi3"]),
        ("raspberrypi3", ["raspberrypi3"]),
        ("raspberrypi4", ["raspberrypi4"]),
    ],
)
def test_a_device_is_found_by_words_of_its_name_its_target_or_an_alias(words, targets):
    found = compare([release(records=BOTH)], words, {"edge": "jetson-orin-nano"})
    every = [*found.rows, *found.estimated, *found.pending, *found.broken]
    assert [row["target"] for row in every] == targets


@pytest.mark.parametrize("words", ["tpu", "orin epyc", "", "--"])
def test_an_unknown_device_is_reported_with_the_known_ones(words):
    with pytest.raises(CompareError) as refused:
        compare([release(records=BOTH)], words)
    assert "AMD EPYC (openvino-cpu); NVIDIA Jetson Orin Nano Developer Kit (jetson-orin-nano)" in str(refused.value)
    assert "raspberrypi4 (estimated); raspberrypi5 (pending); raspberrypi3 (broken)" in str(refused.value)


def test_rows_are_sorted_from_the_best_and_those_without_a_value_are_last():
    hot = measurement(1, throttled="hot")
    rows = compare([release(records=[hot, measurement(5, 70), measurement(4, 60)])]).rows
    assert [row["p50_ms"] for row in by_column(rows, "p50_ms")] == [4, 5, None]
    assert [row["map"] for row in by_column(rows, "map")] == [80, 70, 60]
    assert len(by_column(rows, "void")) == 3


def test_options_of_a_runtime_are_told_except_those_that_change_no_result():
    runtime = {"name": "tensorrt", "version": "10.3.0", "device": "GPU"}
    options = {"versions": ">=10.3,<10.4", "tf32": True}
    asked = [measurement(runtime=runtime | {"options": {name: options[name]}}, target=name) for name in options]
    rows = compare([release(records=asked)]).rows
    assert {row["target"]: row["runtime"] for row in rows} == {
        "versions": "tensorrt 10.3.0",
        "tf32": "tensorrt 10.3.0 (tf32: true)",
    }
