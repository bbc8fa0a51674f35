"""Which figures are comparable, which are best, and how they are printed."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from tests.zoo.records import (
    ACCURACY,
    ORIN,
    a_calibration,
    a_manifest,
    broken,
    dense,
    estimated,
    latency,
    measurement,
    pending,
    release,
)
from zoo.errors import CompareError
from zoo.tables import calibration_rows, compare, gains, measurement_table, release_rows
from zoo.tables.columns import against_torch, number
from zoo.tables.comparison import KEYS, by_column
from zoo.tables.formats import as_json, comma_separated, lines_beside, markdown, terminal

OPENVINO, ONNX = {"target": "openvino-cpu"}, {"target": "onnxruntime-cpu"}


def shown(comparison, **options):
    console = Console(width=300, file=io.StringIO(), **options)
    console.print(terminal(comparison))
    return console.file.getvalue()  # type: ignore[attr-defined]


def cells(text, row, heading):
    """A cell of the first table in Markdown."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return lines[2 + row][lines[0].index(heading)]


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


def test_thousands_are_separated():
    assert number(1)(1234567.89) == "1 234 567.9"


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


def energy(source, mj=3.0):
    return {"mj_per_image": mj, "source": source, "images": 9, "seconds": 2.0}


def test_energy_of_two_meters_has_no_best_and_says_so():
    records = [measurement(energy=energy("NVML")), measurement(energy=energy("RAPL", 2), **ONNX)]
    both = compare([release(records=records)])
    assert "mj_per_image" not in both.groups[0].best
    assert "not comparable with" in shown(both)
    records = [measurement(energy=energy("RAPL")), measurement(energy=energy("RAPL", 2), **ONNX)]
    assert compare([release(records=records)]).groups[0].best["mj_per_image"] == [1]


def test_a_throttled_time_is_void_with_its_reason_and_in_no_format_a_number():
    hot = measurement(1.2345, throttled="CPU too hot (+3)", energy=energy("RAPL", 7.654))
    both = compare([release(records=[hot, measurement(**ONNX)])])
    text = markdown(both)
    for heading in ("p50 ms", "p90 ms", "p99 ms", "images/s", "mJ/image", "× dense"):
        assert cells(text, 0, heading) == "void"
    assert cells(text, 0, "mAP %") == "**80.00**"
    assert "void, throttled by CPU too hot (+3): student int8 on openvino-cpu" in shown(both)
    first = next(csv.DictReader(io.StringIO(comma_separated(both))))
    assert (first["p50_ms"], first["mj_per_image"], first["void"]) == ("", "", "CPU too hot (+3)")
    for printed in (text, shown(both), comma_separated(both), json.dumps(as_json(both))):
        assert "1.23" not in printed
        assert "7.65" not in printed
    assert "p50_ms" not in both.groups[0].best


def test_pending_targets_are_in_no_table():
    both = compare([release(records=[measurement(), pending()])])
    assert [row["kind"] for row in both.rows] == ["measured"]
    content = as_json(both)
    assert [row["kind"] for row in content["pending"]] == ["pending"]
    assert lines_beside(both) == [
        "big@1.0.0 on jetson-orin-nano: pending, not measured; zoo build big --target jetson-orin-nano makes its bundle"
    ]
    assert "pending" not in comma_separated(both)


def test_a_bundle_is_made_by_the_command_that_built_the_release():
    made = release().manifest.provenance.model_dump() | {"command": "zoo add big --onnx net.onnx --data cars"}
    both = compare([release(records=[pending()], provenance=made)])
    command = "zoo add big --onnx net.onnx --data cars --target jetson-orin-nano"
    assert [row["command"] for row in both.pending] == [command]
    assert lines_beside(both)[0].endswith(f"pending, not measured; {command} makes its bundle")


UNMEASURED = [
    "big@1.0.0 on jetson-orin-nano, student int8: estimated, not measured: mAP 80.00, 0.20 points less than "
    "in torch; the graph, run elsewhere",
    "big@1.0.0 on jetson-orin-nano, student fp16: broken: it has no kernels for <fp16>",
]


def test_estimated_and_broken_rows_are_lines_and_in_no_table():
    both = compare([release(records=[measurement(map_=79), measurement(map_=78, **ONNX), estimated(), broken()])])
    assert [row["kind"] for row in both.rows] == ["measured"] * 2
    assert both.groups[0].best["map"] == [0]  # the estimate is higher
    printed = [line.rstrip() for line in shown(both).splitlines()]
    assert lines_beside(both) == UNMEASURED
    assert set(UNMEASURED) <= {*printed}
    assert {line.replace("<", "&lt;") for line in UNMEASURED} <= {*markdown(both).splitlines()}
    assert "jetson" not in comma_separated(both)


@pytest.mark.parametrize(
    ("lost", "said"),
    [(0.2, "0.20 points less than in torch"), (-1.37, "1.37 points more than in torch"), (-0.004, "as in torch")],
)
def test_a_loss_of_map_is_told_without_a_sign(lost, said):
    assert against_torch(lost) == said


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert [number(2)(value) for value in (-0.004, -0.0, -0.006, 1234.5)] == ["0.00", "0.00", "-0.01", "1 234.50"]


def test_json_keeps_estimates_and_broken_cells_under_keys_of_their_own():
    content = json.loads(json.dumps(as_json(compare([release(records=[estimated(), broken()])]))))
    assert content["tables"] == []
    cell = {"model": "big@1.0.0", "target": "jetson-orin-nano", "network": "student"}
    assert content["estimated"] == [
        {**cell, "kind": "estimated", "precision": "int8", "data": "a" * 64, "map": 80.0, "map_drop_points": 0.2,
         "method": "the graph, run elsewhere"}
    ]  # fmt: skip
    assert content["broken"] == [
        {**cell, "kind": "broken", "precision": "fp16", "reason": "it has no kernels for <fp16>",
         "runtime": {"name": "tensorrt", "version": "10.3.0", "device": "GPU", "options": {},
                     "environment": None},
         "found_at": "2026-11-01T00:00:00+00:00"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "stays"),
    [({}, False), ({"accuracy": None}, True), ({"precision": "fp32"}, True), ({"target": "jetson-thor"}, True)],
)
def test_an_estimate_is_replaced_by_a_measurement(measured, stays):
    there = measurement(**{"device": ORIN, "target": "jetson-orin-nano"} | measured)
    assert bool(compare([release(records=[there, estimated()])]).estimated) == stays


def test_a_list_of_releases_names_measured_and_pending_targets_only():
    (row,) = release_rows([release(records=[measurement(), pending(), estimated(), broken("raspberrypi5")])])
    assert row["targets"] == ["openvino-cpu", "jetson-orin-nano (pending)"]
    assert (row["map"], row["parameters"], row["macs_saved"]) == (80.2, 1_000_000, 75)


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


def test_the_best_is_bold():
    both = compare([release(records=[measurement(4), measurement(5, **ONNX)])])
    assert "**4.00**" in markdown(both)
    assert "**5.00**" not in markdown(both)
    bold = re.findall(r"\x1b\[1;32m *([\d.]+)", shown(both, force_terminal=True, color_system="standard"))
    assert "4.00" in bold
    assert "5.00" not in bold


def test_csv_has_one_header_and_full_precision():
    both = compare([release(), release("small", records=[measurement(1 / 3, threads=1)])])
    rows = list(csv.DictReader(io.StringIO(comma_separated(both))))
    assert [row["table"] for row in rows] == ["1", "2"]
    assert float(rows[1]["p50_ms"]) == 1 / 3
    assert list(rows[0]) == ["table", *KEYS]
    assert comma_separated(both).count("p50_ms") == 2  # with compute_p50_ms


def test_json_has_the_shape_that_is_documented():
    content = json.loads(json.dumps(as_json(compare([release(records=[measurement(), pending()])]))))
    assert list(content) == ["tables", "apart", "estimated", "emulated", "pending", "broken"]
    (one,) = content["tables"]
    assert list(one) == ["protocol", "rows", "best"]
    assert list(one["rows"][0]) == list(KEYS)
    assert set(content["pending"][0]) == {"model", "target", "kind", "bundle", "bundle_sha256", "command"}


def test_markup_and_pipes_in_a_name_stay_text():
    strange = measurement(device={**ORIN, "name": "[bold]A|B[/]"})
    both = compare([release(records=[strange])])
    assert "[bold]A|B[/]" in shown(both)
    assert "[bold]A\\|B[/]" in markdown(both)


def test_columns_without_figures_are_left_out_and_named():
    few = measurement(latency=[latency(p99_ms=None)])
    text = shown(compare([release(records=[few])]))
    assert "no figures: p99 ms, mJ/image" in text
    assert "p99 ms" not in text.splitlines()[1]


def test_one_model_needs_no_column():
    def text(releases):
        console = Console(width=300, file=io.StringIO())
        console.print(measurement_table(releases))
        return console.file.getvalue()  # type: ignore[attr-defined]

    assert "big@1.0.0" not in text([release(records=[measurement(), pending()])])  # nor for pending targets
    assert "big@1.0.0" in text([release(), release("small")])


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
