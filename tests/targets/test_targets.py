"""Targets: one interface, one entry point; the real runtimes agree with torch."""

import errno
from importlib.metadata import EntryPoint

import numpy as np
import onnxruntime
import pytest

from calibration.quantize import Quantizer, write_half
from pipeline.stages.export import same_neighbours
from targets import contract
from targets.contract import Job, make_target, runtimes, weight_bits
from targets.errors import ArtifactFailed, BadOption, UnknownRuntime, Unusable
from targets.onnxruntime import ARTIFACT, ONE_NODE, PROVIDERS, OnnxRuntime
from targets.settings import TargetSettings
from tests.helpers import assert_embeds_at_any_batch


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_runtime_embeds_as_torch_does_at_any_batch(runtime, exported, tmp_path):
    graph, images, expected = exported
    target = make_target(TargetSettings(runtime=runtime, threads=1))
    assert "CPU" in target.check()
    target.compile(graph, tmp_path, Job(32, 32, (1, 9)))
    session = target.load(tmp_path)
    assert_embeds_at_any_batch(session, images, expected)


@pytest.mark.parametrize(("runtime", "name"), [("openvino", "model.xml"), ("onnxruntime", "model.onnx")])
def test_a_damaged_artifact_is_refused(runtime, name, exported, tmp_path):
    target = make_target(TargetSettings(runtime=runtime))
    target.compile(exported[0], tmp_path, Job(32, 32, (1, 2)))
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match="can't load"):
        target.load(tmp_path)


def test_an_unknown_runtime_gets_a_suggestion():
    with pytest.raises(UnknownRuntime, match="Did you mean 'openvino'"):
        make_target(TargetSettings(runtime="openvno"))
    with pytest.raises(UnknownRuntime, match="Installed: .*openvino.* or install the package that provides it"):
        make_target(TargetSettings(runtime="?"))


def test_a_device_that_is_not_there():
    with pytest.raises(Unusable, match="sees no device GPU here"):
        make_target(TargetSettings(runtime="openvino", device="GPU")).check()
    with pytest.raises(Unusable, match="supports CPU, CUDA, TensorRT here"):
        make_target(TargetSettings(runtime="onnxruntime", device="TPU")).check()


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        (TargetSettings("onnxruntime"), 7),
        (TargetSettings("onnxruntime", "CUDA"), 8),
        (TargetSettings("openvino"), 7),
        (TargetSettings("openvino", "GPU"), 8),
        (TargetSettings("ncnn"), 8),
        (TargetSettings("litert"), 8),
        (TargetSettings("tensorrt", "GPU"), 8),
    ],
)
def test_weights_have_7_bits_where_kernels_for_x86_may_overflow(settings, bits):
    assert weight_bits(make_target(settings)) == bits


def test_onnx_runtime_computes_int8_in_float_if_asked(exported, tmp_path):
    graph, images, _ = exported
    Quantizer(graph, images, "asymmetric", tmp_path).write(tmp_path / "int8.onnx")
    found = {}
    for kernels in (True, False):
        (folder := tmp_path / str(kernels)).mkdir()
        target = make_target(TargetSettings("onnxruntime", options={"int8_kernels": kernels}))
        target.compile(tmp_path / "int8.onnx", folder, Job(32, 32, (1, 9)))
        found[kernels] = target.load(folder).embed(images)
    session = onnxruntime.SessionOptions()
    session.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    literal = onnxruntime.InferenceSession(tmp_path / "int8.onnx", session).run(None, {"images": images})[0]
    assert (found[False] * literal).sum(1).mean() > 0.99  # other optimisations still change the order of sums
    assert not np.array_equal(found[True], found[False])
    with pytest.raises(BadOption, match="options.int8_kernels of a onnxruntime target must be true or false"):
        make_target(TargetSettings("onnxruntime", options={"int8_kernels": "no"}))


class FakeTarget:
    """A target as a third party would write it."""

    distribution = "no-such-runtime"
    extra = "fake"

    def __init__(self, settings):
        self.settings = settings


def test_third_party_targets_use_the_same_entry_point(monkeypatch):
    point = EntryPoint("fake", f"{__name__}:FakeTarget", contract.GROUP)
    monkeypatch.setattr(contract, "entry_points", lambda group: [point] if group == contract.GROUP else [])
    target = make_target(TargetSettings(runtime="fake", device="board"))
    assert target.settings.device == "board"  # type: ignore[attr-defined]
    assert runtimes() == ["fake"]
    with pytest.raises(Unusable, match="no-such-runtime is not installed. Run: pip install no-such-runtime"):
        contract.runtime_version(target)


def test_different_neighbours_are_detected():
    rows = np.eye(4, dtype=np.float32)[:, :3] + 0.1
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    other = rows.copy()
    assert same_neighbours(rows, other)
    other[0], other[3] = [0.0, 0.7, 0.714], [1.0, 0.0, 0.0]
    assert not same_neighbours(rows, other)


def test_fp16_is_computed_in_fp16_or_fp32_but_never_coarser(exported, tmp_path):
    import openvino

    write_half(exported[0], tmp_path / "half.onnx")
    target = make_target(TargetSettings(runtime="openvino", threads=1))
    target.compile(tmp_path / "half.onnx", tmp_path, Job(32, 32, (1, 9)))
    has = "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    computed = target.load(tmp_path).compiled.get_property("INFERENCE_PRECISION_HINT")  # type: ignore[attr-defined]
    assert computed == (openvino.Type.f16 if has else openvino.Type.f32)


@pytest.mark.parametrize("full", [False, True], ids=["refused", "full"])
def test_openvinos_write_error_is_a_full_disk_only_if_the_disk_is_full(exported, tmp_path, monkeypatch, full):
    """OpenVINO does not report the system's error."""
    openvino = pytest.importorskip("openvino")

    class Full:
        def __init__(self, **_):
            raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_, **__):
        raise RuntimeError("Check 'x' failed at src/y.cpp:1:\nno such operation: Foo\n")

    monkeypatch.setattr(openvino, "save_model", refuse)
    if full:
        monkeypatch.setattr("targets.openvino.TemporaryFile", Full)
    target = make_target(TargetSettings("openvino"))
    with pytest.raises(OSError if full else ArtifactFailed) as caught:
        target.compile(exported[0], tmp_path, Job(32, 32, (1,)))
    if full:
        assert caught.value.errno == errno.ENOSPC  # type: ignore[attr-defined]
    else:
        assert str(caught.value) == "OpenVINO can't convert model.onnx: no such operation: Foo"


@pytest.mark.parametrize("device", ["CUDA", "TensorRT"])
def test_a_provider_that_does_not_start_is_unusable_and_not_replaced_by_the_cpu(monkeypatch, tmp_path, device):
    """ONNX Runtime lists the providers of its build, and falls back to the CPU if one does not start."""
    provider = PROVIDERS[device]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider, "CPUExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda graph, options, **_: real(graph, options, ["CPUExecutionProvider"]),
    )
    monkeypatch.setattr("targets.onnxruntime.runtime_version", lambda _: "1.0")
    target = OnnxRuntime(TargetSettings("onnxruntime", device))
    (tmp_path / ARTIFACT).write_bytes(ONE_NODE)
    for asked in (target.check, lambda: target.load(tmp_path)):
        with pytest.raises(Unusable, match=f"{provider} does not start here: CPUExecutionProvider would compute"):
            asked()


def test_a_provider_that_starts_is_reported(tmp_path):
    target = OnnxRuntime(TargetSettings("onnxruntime"))
    assert target.check().endswith("on CPU")
    (tmp_path / ARTIFACT).write_bytes(b"no graph")
    with pytest.raises(ArtifactFailed, match="can't load"):
        target.load(tmp_path)
