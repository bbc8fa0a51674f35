"""A device whose runtime refuses int8: the result says so, and the rest of it counts."""

import json

import pytest

from calibration.errors import NotQuantisable
from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST
from targets.contract import runtime_version
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.zoo.elsewhere.boards import (
    NAME,
    Desk,
    altered,
    board_elsewhere,
    build,
    contents,
    copied,
    measured_on,
    release_of,
)

SHORT = ("measure.batches=[1]", "measure.calls=8", "measure.max_seconds=0.2")
AUTO = ("--precision", "auto", *[word for one in SHORT for word in ("--set", one)])
MEASURED_AT = "2026-01-02T03:04:05+00:00"
INT8 = {"network": "student", "precision": "int8"}


@pytest.fixture(scope="module")
def auto(waiting, tmp_path_factory):
    """A workshop in which any precision may ship on the pending board; read-only."""
    shop = copied(waiting[0], tmp_path_factory.mktemp("auto") / "shop")
    build(shop, *AUTO)
    return shop


@pytest.fixture(scope="module")
def refusing(auto, bare, tmp_path_factory):
    """Output and result of a device whose runtime can't read the int8 graph."""
    folder = tmp_path_factory.mktemp("refusing")
    bundle, desk = auto.home / "bundles" / f"{NAME}.zoo", Desk(bare, folder / "desk")
    unread = altered(bundle, folder / "unread.zoo", BUNDLE_LIST, {"graphs/student-int8.onnx": b"nonsense"})
    code, output, errors = desk.run(str(unread), "out")
    assert (code, errors) == (0, "")
    key = read_list(bundle, BUNDLE_LIST)["key"]  # as if the bundle's own graph had been refused
    return output, altered(
        desk.root / "here" / "out", folder / f"{NAME}.result", RESULT_LIST, bundle=key, measured_at=MEASURED_AT
    )


@pytest.fixture(scope="module")
def received(auto, refusing, tmp_path_factory):
    """The workshop that received and recorded it."""
    shop = copied(auto, tmp_path_factory.mktemp("received") / "shop")
    assert shop.zoo("receive", str(refusing[1])).exit_code == 0
    build(shop, *AUTO)
    return shop


def test_the_device_continues_without_it_and_says_why(refusing):
    output, result = refusing
    about = read_list(result, RESULT_LIST)
    (refused,) = about["broken"]
    assert refused == {**INT8, "reason": refused["reason"]}
    assert "ONNX Runtime can't load artifacts/student-int8/model.onnx" in refused["reason"]
    assert f"compiling student int8\n  broken: {refused['reason']}\n" in output
    assert [row["precision"] for row in about["rows"]] == ["fp32", "fp32", "fp16"]
    assert not [name for name in contents(result) if "int8" in name]


def test_the_student_in_fp32_has_to_run_there(desk, quick, tmp_path):
    path = altered(quick, tmp_path / "unread.zoo", BUNDLE_LIST, {"graphs/student-fp32.onnx": b"nonsense"})
    assert "ONNX Runtime can't load" in desk.refused(str(path))


def test_the_rest_is_recorded_with_the_reason(received, refusing):
    release = release_of(received)
    (broken,) = release.broken
    (told,) = read_list(refusing[1], RESULT_LIST)["broken"]
    version = runtime_version(OnnxRuntime(TargetSettings("onnxruntime")))
    runtime = {"name": "onnxruntime", "version": version, "device": "CPU", "options": {}, "environment": None}
    assert broken.model_dump(include={"network", "precision", "reason", "runtime"}) == {**told, "runtime": runtime}
    assert broken.found_at == measured_on(received)[0].measured_at == MEASURED_AT  # not the time of receipt
    assert [row.precision for row in measured_on(received)] == ["fp32", "fp32", "fp16"]
    assert sum(row.ships for row in measured_on(received)) == 1
    line = f"tiny@1.0.0 on board, student int8: broken: {told['reason']}"
    assert line in received.zoo("compare", "tiny").stdout


def test_accuracy_is_estimated_until_the_device_gives_figures(auto, received):
    release = release_of(auto)
    calibrated = {one.precision: one for one in release.manifest.calibrations if one.target in ("board", None)}
    assert {one.precision for one in release.estimated} == {*calibrated} == {"fp16", "int8"}
    in_torch = release.manifest.accuracy.student.map
    for one in release.estimated:
        assert (one.target, one.network, one.data) == ("board", "student", release.manifest.data.fingerprint)
        assert one.map == pytest.approx(in_torch - calibrated[one.precision].agreement.map_drop_points)
        assert one.agreement == calibrated[one.precision].agreement
        assert one.method == (
            "loss of the device's graph on the gate's split, measured with onnxruntime on the build machine"
        )
    for command in (("show", "tiny"), ("compare", "tiny"), ("compare", "tiny", "--device", "board")):
        for precision in calibrated:
            said = f"tiny@1.0.0 on board, student {precision}: estimated, not measured: mAP "
            assert said in auto.zoo(*command).stdout
            assert said not in received.zoo(*command).stdout
    assert not [one for one in release_of(received).measurements if one.kind in ("estimated", "pending")]


def test_a_build_that_requested_int8_fails_with_the_reason(shop, refusing, result, tmp_path):
    """The bundle of such a build also holds the dense network and the student in fp32."""
    about = read_list(result, RESULT_LIST)
    rows = [row for row in about["rows"] if row["precision"] != "int8"]
    told = read_list(refusing[1], RESULT_LIST)["broken"]
    path = altered(result, tmp_path / "less.result", RESULT_LIST, rows=rows, broken=told)
    assert shop.zoo("receive", str(path)).exit_code == 0
    with board_elsewhere():
        message = shop.refused("build", "tiny", "--target", "board")
    assert message.startswith("nothing can ship. int8 is broken: ONNX Runtime can't load")
    assert len(message.splitlines()) == 1


def test_a_variant_without_a_graph_is_only_in_the_bundles_list(waiting, tmp_path, monkeypatch):
    def refuse(*_):
        raise NotQuantisable("there is nothing to make fp16 of")

    monkeypatch.setattr("pipeline.stages.calibrate.write_half", refuse)
    shop = copied(waiting[0], tmp_path / "shop")
    build(shop, *AUTO)
    bundle = shop.home / "bundles" / f"{NAME}.zoo"
    told = {"network": "student", "precision": "fp16", "reason": "there is nothing to make fp16 of", "runtime": None}
    assert read_list(bundle, BUNDLE_LIST)["broken"] == [told]
    assert {name for name in contents(bundle) if name.startswith("graphs/")} == {
        "graphs/teacher-fp32.onnx", "graphs/student-fp32.onnx", "graphs/student-int8.onnx",
    }  # fmt: skip
    release = release_of(shop)
    assert [one.model_dump(include={*told}) for one in release.broken] == [told]
    assert [one.precision for one in release.estimated] == ["int8"]
    assert json.loads(shop.zoo("compare", "tiny", "--json").stdout)["broken"][0]["reason"] == told["reason"]
