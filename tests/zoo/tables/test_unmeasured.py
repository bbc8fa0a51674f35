"""What was not measured: pending targets, estimates and broken precisions are lines beside the tables."""

import json

import pytest

from tests.zoo.records import (
    ORIN,
    broken,
    built_by,
    estimated,
    measurement,
    pending,
    release,
)
from tests.zoo.tables.printed import ONNX, shown
from zoo.tables import compare, release_rows
from zoo.tables.columns import against_torch
from zoo.tables.formats import as_json, comma_separated, lines_beside, markdown


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
    both = compare([release(records=[pending()], **built_by("zoo add big --onnx net.onnx --data cars"))])
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
