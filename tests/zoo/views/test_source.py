"""Which graph of a release has a precision."""

import shutil
from dataclasses import replace

import onnx
import pytest

from pipeline.errors import DataError
from targets.files import sha256
from tests.zoo.records import a_calibration, an_artifact
from tests.zoo.records import release as a_release
from zoo.errors import ExportError, ManifestError, NotPulled
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


def find(
    release, precision, kinds=("asymmetric", "symmetric"), forms=ONNX, home=NOWHERE, scratch=None, data=None, bits=7
):
    return find_source(release, precision, kinds, bits, forms, home, scratch, data)


def test_fp32_is_the_release_s_graph(moved):
    found = find(moved, "fp32")
    listed = {one.path: one.sha256 for one in moved.manifest.artifacts}
    assert (found.files, found.sha256) == ((moved.path.parent / GRAPH,), listed[GRAPH])
    assert found.origin == f"artifact {GRAPH}"


def test_int8_is_the_artifact_with_activations_that_will_do(moved):
    found = find(moved, "int8")
    assert found.origin == "artifact onnxruntime-cpu/model.onnx"
    with pytest.raises(
        ExportError, match="no int8 ONNX file with symmetric activations. Build it here: zoo build tiny"
    ):
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


def test_a_release_of_one_precision_is_built_again_in_all(moved):
    few = without(moved, "int8").manifest
    for precision, command in (
        ("fp32", f"{few.rebuild} --precision auto"),
        ("auto", few.command_for("openvino-cpu")),  # no target of the release has it
    ):
        changed = few.model_copy(update={"recipe": few.recipe | {"precision": precision}})
        with pytest.raises(ExportError) as told:
            find(replace(moved, manifest=changed), "int8")
        assert str(told.value).endswith(f"Build it: {command}")


def test_a_file_that_was_not_pulled_is_named(moved):
    (moved.path.parent / "onnxruntime-cpu/model.onnx").unlink()
    with pytest.raises(NotPulled, match=r"is not here. Get it: zoo pull tiny@1.0.0 --target onnxruntime-cpu$") as error:
        find(moved, "int8")
    assert error.value.target == "onnxruntime-cpu"
    (moved.path.parent / GRAPH).unlink()
    with pytest.raises(NotPulled, match=rf"{GRAPH} of tiny@1.0.0 is not here. Get it: zoo pull tiny@1.0.0$"):
        find(moved, "fp32")


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
    made = found.manifest.provenance.model_copy(update={"command": "zoo add big --onnx net.onnx -t onnxruntime-cpu"})
    found = replace(found, manifest=found.manifest.model_copy(update={"provenance": made}))
    with pytest.raises(
        ExportError, match="calibrated for no target with symmetric activations. Build it for one"
    ) as told:
        find(found, "int8", ("symmetric",))
    assert str(told.value).endswith("zoo add big --onnx net.onnx -t onnxruntime-cpu --target openvino-cpu")
    with pytest.raises(ExportError, match=f"{GRAPH} is not listed"):
        find(found, "fp32")


def test_int8_that_does_not_ship_is_made_again_as_the_build_made_it(moved, tiny, home, finished, tmp_path):
    asked: list[str] = []

    def folder_of(name):
        asked.append(name)
        return finished.root / "data" / name

    for kind in ("symmetric", "asymmetric"):
        (scratch := tmp_path / kind).mkdir()
        kept = [one for one in moved.manifest.artifacts if one.precision == "fp32"]
        bare = replace(moved, manifest=moved.manifest.model_copy(update={"artifacts": kept}))
        found = find(bare, "int8", (kind,), scratch=scratch, data=folder_of)
        built = find(replace(tiny, manifest=bare.manifest), "int8", (kind,), home=home)
        assert built.origin.startswith("stage calibrate/student/int8/")
        graphs = [onnx.load(one.files[0]).graph.SerializeToString(deterministic=True) for one in (found, built)]
        assert graphs[0] == graphs[1]  # metadata differ: the release's graph has some
        assert found.sha256 == sha256(moved.path.parent / GRAPH)
        assert found.origin == f"artifact {GRAPH}, quantised again as for {TARGETS[kind]}: {kind}, 16 images of squares"
    assert asked == ["squares"] * 2


@pytest.mark.parametrize(("bits", "target"), [(7, "openvino-cpu"), (8, "jetson")])
def test_int8_has_the_bits_that_the_consumer_prefers(moved, finished, tmp_path, bits, target):
    (one,) = [one for one in moved.manifest.calibrations if one.target == "openvino-cpu"]
    both = [one.model_copy(update={"target": "jetson", "weight_bits": None}), one]  # as zoo 0.1.0 recorded 8
    release = replace(moved, manifest=moved.manifest.model_copy(update={"calibrations": both}))
    found = find(
        release, "int8", ("symmetric",), scratch=tmp_path, data=lambda _: finished.root / "data/squares", bits=bits
    )
    assert f"quantised again as for {target}:" in found.origin
    assert found.weight_bits == bits


TARGETS = {"symmetric": "openvino-cpu", "asymmetric": "onnxruntime-cpu"}


def test_layers_that_stayed_in_float_do_so_again(moved, finished, tmp_path):
    (one,) = [one for one in moved.manifest.calibrations if one.target == "openvino-cpu"]
    whole = find(moved, "int8", ("symmetric",), scratch=tmp_path, data=lambda _: finished.root / "data/squares")
    layers = [node.name for node in onnx.load(moved.path.parent / GRAPH).graph.node if node.op_type in ("Conv", "Gemm")]
    assert weights_in_int8(whole.files[0]) == len(layers)
    changed = one.model_copy(update={"float_layers": layers[1:]})
    less = replace(moved, manifest=moved.manifest.model_copy(update={"calibrations": [changed]}))
    few = find(less, "int8", ("symmetric",), scratch=tmp_path, data=lambda _: finished.root / "data/squares")
    assert weights_in_int8(few.files[0]) == 1


def weights_in_int8(graph):
    kept = onnx.load(graph).graph.initializer
    return sum(one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1 for one in kept)


def test_other_images_than_those_of_the_calibration_are_refused(moved, finished, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(finished.root / "data/squares", data)

    def refusal(release=moved, folder_of=lambda _: data):
        with pytest.raises(ExportError) as error:
            find(release, "int8", ("symmetric",), scratch=tmp_path, data=folder_of)
        message = str(error.value)
        assert message.startswith(
            "tiny@1.0.0 does not ship this int8 graph (symmetric activations), and it can't be made "
        )
        assert message.endswith("Or use --precision fp32.")
        assert "\n" not in message
        return message

    (one,) = [one for one in moved.manifest.calibrations if one.target == "openvino-cpu"]
    first, second, *_ = one.images

    def gone(_):
        raise DataError("no folder data/squares")

    assert "16 training images of squares: no folder data/squares Or use" in refusal(folder_of=gone)
    shutil.copyfile(data / second, data / first)
    assert "their pixels have another sha256" in refusal()
    (data / first).write_bytes(b"nothing")
    assert "can't decode image" in refusal()
    (data / first).unlink()
    assert f"lacks the image {first}, on which int8 was calibrated" in refusal()
    for path in ("../secret.png", "/etc/secret.png"):
        evil = one.model_copy(update={"images": [path]})
        changed = replace(moved, manifest=moved.manifest.model_copy(update={"calibrations": [evil]}))
        assert "which leads out of the data set. Refused." in refusal(changed)


def test_images_without_a_digest_are_not_quantised_on(moved, finished, tmp_path):
    """Nothing would tell whether they are the same."""
    (one,) = [one for one in moved.manifest.calibrations if one.target == "openvino-cpu"]
    changed = one.model_copy(update={"images_sha256": None})
    release = replace(moved, manifest=moved.manifest.model_copy(update={"calibrations": [changed]}))
    with pytest.raises(ExportError, match="ships no int8 ONNX file with symmetric activations"):
        find(release, "int8", ("symmetric",), scratch=tmp_path, data=lambda _: finished.root / "data/squares")


def test_what_makes_graphs_is_missing(moved, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.views.libraries.find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ExportError, match=r"a view needs onnxruntime: not installed. Run: pip install .*export"):
        find(with_half(moved), "fp16", scratch=tmp_path)
    with pytest.raises(ExportError, match="a view needs onnxruntime: not installed"):
        find(moved, "int8", ("symmetric",), scratch=tmp_path, data=lambda _: finished.root / "data/squares")
