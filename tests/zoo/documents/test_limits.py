"""Limits of a release's figures, in its card."""

import pytest

from tests.zoo.records import (
    CONDITIONS,
    a_calibration,
    a_manifest,
    an_artifact,
    broken,
    built_by,
    estimated,
    far,
    foreign_values,
    pending,
)
from tests.zoo.shelf import SIZE, a_measurement
from zoo.documents.card import card_text
from zoo.documents.limits import limits


@pytest.mark.parametrize(
    ("record", "calibrated", "told"),
    [
        (far(0.94), 0.99, "0.94000 (the test set, on AMD EPYC)"),
        (None, 0.83, "0.83000 (the gate's images, calibrated graph in onnxruntime)"),
        (far(0.95), 0.83, None),  # what was measured counts
    ],
)
def test_int8_that_moves_embeddings_is_listed_with_what_it_means_for_galleries(record, calibrated, told):
    manifest = a_manifest(calibrations=[a_calibration(agreement=far(calibrated))])
    found = [line for line in limits(manifest, [a_measurement(agreement=record)]) if "gallery" in line]
    assert found == [
        f"int8 on onnxruntime-cpu gives other embeddings than the network in torch: their mean cosine is {told}. Do "
        "not mix its embeddings in one gallery with those of another artifact: similarities would be wrong. Search a "
        "gallery with the artifact that embedded it."
    ] * bool(told)


def test_of_fp16_and_of_a_graph_that_does_not_ship_no_such_limit_is_listed():
    half = [an_artifact("onnxruntime-cpu/model.onnx", "fp16", "onnxruntime-cpu", "onnxruntime")]
    calibrations = [a_calibration(agreement=far(0.8)), a_calibration(precision="fp16", agreement=far(0.8))]
    found = limits(a_manifest(artifacts=half, calibrations=calibrations), [])
    assert not [line for line in found if "gallery with" in line]


@pytest.mark.parametrize(
    "command",
    [
        "zoo build big --from small@1.0.0 --dataset cars",
        "zoo build big --student timm:mobilenetv4_conv_small",
        "zoo add big --onnx net.onnx --data cars --license MIT",
    ],
)
def test_a_bundle_is_made_by_the_command_that_built_the_release(command):
    way = f"for every precision: {command} --target jetson-orin-nano makes a bundle"
    (line,) = (one for one in limits(a_manifest(**built_by(command)), [pending()]) if "pending" in one)
    assert f"{way}, on a machine with the data set cars." in line
    made = built_by(f"{command} --target jetson-orin-nano")
    assert [one for one in limits(a_manifest(**made), [pending()]) if "pending" in one] == [line]


def test_a_bundle_of_a_network_of_others_needs_its_file_too():
    (line,) = (one for one in limits(a_manifest(**foreign_values()), [pending()]) if "pending" in one)
    assert "makes a bundle, on a machine with the data set cars and net.onnx." in line


@pytest.mark.parametrize(
    ("records", "changes", "said"),
    [
        ([a_measurement()], {}, "with 100 queries, R1 is uncertain by up to ±10 points"),
        ([a_measurement()], {}, "Measured on these devices only: AMD EPYC (onnxruntime-cpu)."),
        ([a_measurement(steady=False)], {}, "never became steady: student int8 on onnxruntime-cpu"),
        ([a_measurement(throttled="heat")], {}, "Void, because the machine was throttled (heat): student int8"),
        ([a_measurement(), pending()], {}, "zoo bench big@1.0.0 --target jetson-orin-nano measures what is published."),
        ([a_measurement(), pending()], {}, "zoo build big --target jetson-orin-nano makes a bundle"),
        (
            [a_measurement(), estimated()],
            {},
            "mAP of student int8 on jetson-orin-nano is estimated, not measured: 80.00 expected, 0.20 points less "
            "than in torch. Method: the graph, run elsewhere.",
        ),
        (
            [a_measurement(), broken()],
            {},
            "student fp16 on jetson-orin-nano is not available. It is broken: it has no kernels for <fp16>",
        ),
        ([], {}, "Its speed is unknown"),
        (
            [a_measurement()],
            {"licenses": {"code": "MIT", "weights": "not stated", "data": ""}},
            "License not stated: weights, data.",
        ),
        (
            [a_measurement()],
            {"calibrations": [a_calibration(holds=False)]},
            "The int8 graph for onnxruntime-cpu fails the accuracy gate: it loses 0.20 points of mAP.",
        ),
        (
            [a_measurement(conditions=CONDITIONS | {"other_work_cores": 1.2})],
            {},
            "The machine was not idle, so times are unreliable: onnxruntime-cpu (other processes kept 1.2 of 2 cores "
            "busy).",
        ),
        (
            [a_measurement(conditions=CONDITIONS | {"tells_throttling": False})],
            {},
            "Does not report throttling: AMD EPYC.",
        ),
    ],
)
def test_limits_are_listed(monkeypatch, records, changes, said):
    monkeypatch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)
    found = limits(a_manifest(**changes), records)
    assert said in "\n".join(found)
    assert said.replace("<", "&lt;") in card_text(a_manifest(**changes), records, SIZE)


def test_a_small_test_set_and_skipped_queries_are_listed():
    student = a_manifest().accuracy.student.model_dump() | {"queries": 2, "skipped": 3}
    accuracy = a_manifest().accuracy.model_dump() | {"student": student}
    _, small, skipped, *_ = limits(a_manifest(accuracy=accuracy), [a_measurement()])
    assert small.startswith("The test set is small: with 2 queries, R1 is uncertain by up to ±50 points")
    assert skipped == "3 queries have no correct answer in the gallery and do not count."


def test_a_choice_on_the_test_set_is_listed():
    data = a_manifest().data.model_dump() | {"gate_identities": 0, "gate_images": 0}
    (line,) = (one for one in limits(a_manifest(data=data), [a_measurement()]) if "chosen" in one)
    assert line.startswith("Precisions and float layers were chosen on the test set")
    card = card_text(a_manifest(data=data), [a_measurement()], SIZE)
    assert "gate, which chose precision and float layers: the test set itself" in card
    held = "6 images of 2 other training identities, never trained on"
    assert f"gate, which chose precision and float layers: {held}" in card_text(a_manifest(), [], SIZE)
    assert not [one for one in limits(a_manifest(), [a_measurement()]) if "chosen" in one]


def test_limits_that_do_not_apply_are_not_listed():
    student = a_manifest().accuracy.student.model_dump() | {"queries": 2000}
    accuracy = a_manifest().accuracy.model_dump() | {"student": student}
    lines = limits(a_manifest(accuracy=accuracy), [a_measurement()])
    assert len(lines) == 2  # known on this data and these devices only
    assert lines[0].startswith("Accuracy is known for cars only")
    assert lines[1].startswith("Measured on these devices only")
    calibrations = [a_calibration(holds=False, target="elsewhere"), a_calibration(holds=False, network="teacher")]
    assert limits(a_manifest(accuracy=accuracy, calibrations=calibrations), [a_measurement()]) == lines
