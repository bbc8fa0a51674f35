"""Records of a pending target, from hand-made results."""

import json
from dataclasses import asdict

import pytest

from pipeline.engine.step import COMPACT, StepId, Variant
from targets.bundles.archive import write_archive
from targets.bundles.contents import BUNDLE_LIST
from tests.zoo.records import ACCURACY, AGREEMENT
from zoo.building.results import target_records

FOUND_AT = "2026-11-01T00:00:00+00:00"
VARIANTS = [
    Variant("teacher", "fp32"), Variant("teacher", "int8"),
    Variant("student", "fp32"), Variant("student", "fp16"), Variant("student", "int8"),
]  # fmt: skip
BUNDLE = StepId("bundle", target="rtx")


@pytest.fixture
def folders(tmp_path):
    """Results of steps for `rtx`, which is compiled ahead; and an fp16 graph that only another target asked for."""
    steps = [
        COMPACT, BUNDLE, StepId("export", "teacher"), StepId("export", "student"),
        StepId("calibrate", "teacher", "int8", "rtx"), StepId("calibrate", "student", "fp16"),
        StepId("calibrate", "student", "int8", "rtx"), *(StepId("compile", *variant, "rtx") for variant in VARIANTS),
    ]  # fmt: skip
    found = {step: tmp_path / str(step).replace("/", "-") for step in steps}
    for step, folder in found.items():
        folder.mkdir()
        if step.stage == "calibrate":
            judged = {"judge": "onnxruntime", "agreement": AGREEMENT}
            (folder / "calibration.json").write_text(json.dumps(judged))
    (found[COMPACT] / "accuracy.json").write_text(json.dumps(ACCURACY))
    (found[BUNDLE] / "stage.json").write_text(json.dumps({"finished_at": FOUND_AT}))
    return found


def recorded(folders, variants, broken=()):
    listed = [{"network": network, "precision": precision} for network, precision in variants]
    about = {"variants": listed, "broken": list(broken)}
    write_archive(folders[BUNDLE] / "big-1.0.0-rtx.zoo", BUNDLE_LIST, about, {"test": b"images"})
    chosen, records = target_records("rtx", "big@1.0.0", "a" * 64, folders)
    assert chosen is None
    return [(one.kind, getattr(one, "network", None), getattr(one, "precision", None)) for one in records], records


def test_every_judged_precision_of_the_student_is_estimated(folders):
    kinds, records = recorded(folders, VARIANTS)
    assert kinds == [("pending", None, None), ("estimated", "student", "fp16"), ("estimated", "student", "int8")]
    assert [one.map for one in records[1:]] == [pytest.approx(80.0 - 0.2)] * 2


def test_precisions_that_were_not_requested_are_not_estimated(folders):
    kinds, _ = recorded(folders, [one for one in VARIANTS if one[1] != "fp16"])
    assert kinds == [("pending", None, None), ("estimated", "student", "int8")]


def test_a_precision_refused_ahead_of_time_is_broken_and_not_estimated(folders):
    runtime = {"name": "rtx", "version": "1.0", "device": "GPU", "options": {}, "environment": None}
    told = {"reason": "no kernel", "runtime": runtime}
    (folders[StepId("compile", "student", "int8", "rtx")] / "broken.json").write_text(json.dumps(told))
    no_graph = {"network": "teacher", "precision": "int8", "reason": "nothing to quantise", "runtime": None}
    kinds, records = recorded(folders, [one for one in VARIANTS if one != ("teacher", "int8")], [no_graph])
    assert kinds == [
        ("pending", None, None), ("broken", "teacher", "int8"), ("estimated", "student", "fp16"),
        ("broken", "student", "int8"),
    ]  # fmt: skip
    assert [(one.reason, one.found_at) for one in records if one.kind == "broken"] == [
        ("nothing to quantise", FOUND_AT), ("no kernel", FOUND_AT),
    ]  # fmt: skip
    assert asdict(records[-1].runtime) == runtime
