"""Which graph of a release has a precision."""

import shutil
from dataclasses import replace

import pytest

from targets.files import sha256
from tests.zoo.records import a_calibration, an_artifact
from tests.zoo.records import release as a_release
from zoo.errors import ExportError, ManifestError
from zoo.home import Home
from zoo.layout import GRAPH
from zoo.views.source import find_source

ONNX = ("onnx",)
NOWHERE = Home.at("nowhere")


@pytest.fixture
def moved(tiny, tmp_path):
    """The release as if it were pulled: elsewhere, without the store it was built in."""
    shutil.copytree(tiny.path.parent, tmp_path / "pulled")
    return replace(tiny, path=tmp_path / "pulled" / tiny.path.name)


def find(release, precision, kinds=("asymmetric", "symmetric"), forms=ONNX, home=NOWHERE, scratch=None):
    return find_source(release, precision, kinds, forms, home, scratch)


def test_fp32_is_the_release_s_graph(moved):
    found = find(moved, "fp32")
    listed = {one.path: one.sha256 for one in moved.manifest.artifacts}
    assert (found.files, found.sha256) == ((moved.path.parent / GRAPH,), listed[GRAPH])
    assert found.origin == f"artifact {GRAPH}"


def test_int8_is_the_artifact_with_activations_that_will_do(moved):
    found = find(moved, "int8")
    assert found.origin == "artifact onnxruntime-cpu/model.onnx"
    with pytest.raises(ExportError, match="ships no int8 ONNX file with symmetric activations.* zoo build tiny"):
        find(moved, "int8", ("symmetric",))
    ir = find(moved, "int8", ("symmetric",), ("onnx", "openvino"))
    assert (ir.form, [path.name for path in ir.files]) == ("openvino", ["model.xml", "model.bin"])


def test_int8_that_no_target_ships_is_in_the_store_where_it_was_built(tiny, home):
    found = find(tiny, "int8", ("symmetric",), home=home)
    assert found.origin.startswith("stage calibrate/student/int8/openvino-cpu, key ")
    assert found.sha256 == sha256(found.files[0])


def without(release, precision):
    kept = [one for one in release.manifest.calibrations if one.precision != precision]
    return replace(release, manifest=release.manifest.model_copy(update={"calibrations": kept}))


def failed(release, precision):
    changed = [
        one.model_copy(update={"holds": False}) if one.precision == precision else one
        for one in release.manifest.calibrations
    ]
    return replace(release, manifest=release.manifest.model_copy(update={"calibrations": changed}))


def with_half(release):
    half = a_calibration(precision="fp16", target=None, activations=None, float_layers=[], layers=None, images=[])
    kept = release.manifest.model_dump(mode="json")["calibrations"]
    manifest = type(release.manifest).model_validate(
        release.manifest.model_dump(mode="json") | {"calibrations": [*kept, half]}
    )
    return replace(release, manifest=manifest)


def test_fp16_is_converted_where_it_passed_the_gate(moved, tmp_path):
    found = find(with_half(moved), "fp16", scratch=tmp_path)
    assert found.origin == f"artifact {GRAPH}, converted to fp16"
    assert found.files[0].stat().st_size < 0.7 * (moved.path.parent / GRAPH).stat().st_size
    with pytest.raises(ExportError, match="built without that precision"):
        find(moved, "fp16", scratch=tmp_path)
    with pytest.raises(ExportError, match="lost more mAP than its recipe allows"):
        find(failed(with_half(moved), "fp16"), "fp16", scratch=tmp_path)


def test_a_precision_that_failed_the_gate_is_refused(moved):
    with pytest.raises(ExportError, match="lost more mAP than its recipe allows"):
        find(failed(moved, "int8"), "int8")
    with pytest.raises(ExportError, match="built without that precision"):
        find(without(moved, "int8"), "int8")


def test_a_file_that_was_not_pulled_is_named(moved):
    (moved.path.parent / "onnxruntime-cpu/model.onnx").unlink()
    with pytest.raises(ExportError, match=r"onnxruntime-cpu/model.onnx of tiny@1.0.0 is not here. Get it: zoo pull"):
        find(moved, "int8")


def test_a_damaged_file_is_refused(moved):
    path = moved.path.parent / GRAPH
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"model.onnx is damaged.*zoo verify tiny@1.0.0"):
        find(moved, "fp32")


def test_a_release_of_another_target_has_nothing(tmp_path):
    found = a_release(artifacts=[an_artifact("jetson/model.engine", "int8", "jetson", "tensorrt")])
    with pytest.raises(ExportError, match="ships no int8 ONNX file"):
        find(found, "int8")
    with pytest.raises(ExportError, match=f"{GRAPH} is not listed"):
        find(found, "fp32")
