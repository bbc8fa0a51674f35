"""LiteRT: it agrees with torch and ONNX Runtime, int8 included, and says what is wrong. Needs the extra `litert`."""

import os
import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from calibration.quantize import Quantizer, write_half
from targets.contract import is_portable, make_target
from targets.errors import ArtifactFailed, BadOption, Unusable
from targets.litert.target import ARTIFACT, LiteRt
from targets.settings import TargetSettings
from tests.helpers import assert_embeds_at_any_batch, random_images
from tests.targets.parity import (
    CASES,
    JOB,
    REFUSED,
    SHORT,
    by_onnxruntime,
    compiled_by,
    constant,
    cosine,
    exactly,
    short,
    small,
    with_nodes,
)

flatbuffers = pytest.importorskip("flatbuffers", reason="the extra `litert` is not installed")
pytest.importorskip("ai_edge_litert", reason="the extra `litert` is not installed")

HERE = TargetSettings("litert", threads=1)


def compiled(graph, folder, job=JOB):
    """A session of a graph."""
    return compiled_by(LiteRt(HERE), graph, folder, job)


def kinds(folder):
    """Operations of an artifact with the types of their first input, by name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((folder / ARTIFACT).read_bytes())
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    (graph,) = model.subgraphs
    types = {schema.TensorType.FLOAT32: "float", schema.TensorType.INT8: "int8"}
    return [
        (names[model.operatorCodes[one.opcodeIndex].builtinCode], types.get(graph.tensors[one.inputs[0]].type))
        for one in graph.operators
    ]


def test_it_embeds_as_torch_does_at_any_batch(exported, tmp_path):
    graph, images, expected = exported
    session = compiled(graph, tmp_path)
    assert_embeds_at_any_batch(session, images, expected)
    assert session.compute_ms > 0


@pytest.mark.slow
def test_a_network_with_depthwise_convolutions_and_squeezes_agrees(depthwise, tmp_path):
    graph, images = depthwise
    found = compiled(graph, tmp_path / "own").embed(images)
    assert np.allclose(found, by_onnxruntime(graph, tmp_path / "other", images), atol=1e-5)
    assert "DEPTHWISE_CONV_2D" in dict(kinds(tmp_path / "own"))


def test_its_artifact_is_the_same_each_time(exported, tmp_path):
    target = make_target(HERE)
    assert is_portable(target)
    assert target.check().startswith("LiteRT ")
    for name in "ab":
        (tmp_path / name).mkdir()
        target.compile(exported[0], tmp_path / name, JOB)
        assert [path.name for path in (tmp_path / name).iterdir()] == [ARTIFACT]
    assert (tmp_path / "a" / ARTIFACT).read_bytes() == (tmp_path / "b" / ARTIFACT).read_bytes()


def test_fp16_halves_the_file_and_agrees_with_onnxruntime(exported, tmp_path):
    graph, images, _ = exported
    write_half(graph, half := tmp_path / "half.onnx")
    session, full = compiled(half, tmp_path / "half"), compiled(graph, tmp_path / "full")
    assert cosine(session.embed(images), by_onnxruntime(half, tmp_path / "other", images)) > 0.999
    assert cosine(session.embed(images), full.embed(images)) > 0.99
    sizes = [(tmp_path / name / ARTIFACT).stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.51 * sizes[1]


@pytest.mark.parametrize("network", ["plain", "depthwise"])
def test_each_layer_in_int8_agrees_with_onnxruntime(network, exported, depthwise, tmp_path):
    """One layer at a time: with all of them, rounding in a random network decides everything."""
    graph, images = exported[:2] if network == "plain" else depthwise
    quantizer = Quantizer(graph, images, "symmetric", tmp_path)
    whole = by_onnxruntime(graph, tmp_path / "whole", images)
    for number, layer in enumerate([*quantizer.layers[:5:2], quantizer.layers[-1]]):  # the last one is linear
        quantizer.write(path := tmp_path / f"{number}.onnx", only=layer)
        found, expected = compiled(path, tmp_path / f"{number}").embed(images), exactly(path, images)
        layers = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        assert [kind for code, kind in kinds(tmp_path / f"{number}") if code in layers].count("int8") == 1
        # Where a result lies beside a half, it may be rounded to the next step.
        assert 1 - cosine(found, expected) < 1e-5 + 0.05 * (1 - cosine(whole, expected)), layer
        assert not np.allclose(found, whole, atol=1e-5), layer


def test_int8_is_passed_from_operation_to_operation_and_quarters_the_file(exported, tmp_path):
    graph, images, _ = exported
    Quantizer(graph, images, "symmetric", tmp_path).write(tmp_path / "int8.onnx")
    session = compiled(tmp_path / "int8.onnx", tmp_path / "int8")
    found = kinds(tmp_path / "int8")
    for code in ("CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D"):
        assert {kind for name, kind in found if name == code} == {"int8"}, code
    assert found.count(("ADD", "int8")) == 4  # all but that of the last norm
    assert [name for name, _ in found].count("QUANTIZE") <= 3
    assert np.allclose(np.linalg.norm(session.embed(images), axis=1), 1, atol=1e-4)
    compiled(graph, tmp_path / "full")
    sizes = [(tmp_path / name / ARTIFACT).stat().st_size for name in ("int8", "full")]
    assert sizes[0] < 0.27 * sizes[1]


@pytest.mark.parametrize("case", [*CASES, *SHORT])
def test_operations_agree_with_onnxruntime_on_images_that_are_not_square(case, tmp_path):
    images = random_images(3)[:, :, :31].copy()
    graph = (small if case in CASES else short)(tmp_path, *{**CASES, **SHORT}[case])
    session = compiled(graph, tmp_path / "own")
    for count in (3, 1):
        assert np.allclose(session.embed(images[:count]), exactly(graph, images[:count]), atol=1e-5)


OWN_REFUSALS = {
    "know its Erf, Softmax": [helper.make_node("Erf", ["x"], ["z"]), helper.make_node("Softmax", ["z"], ["y"])],
    "AveragePool y averages over a border": [
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)
    ],
    "AveragePool y leaves the image": [
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    ],
    "MaxPool y leaves the image": [
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1)
    ],
    "ReduceMean line leaves axes that have another order here": [
        helper.make_node("ReduceMean", ["x", "three"], ["line"], keepdims=0),
        helper.make_node("ReduceMean", ["line", "three"], ["y"]),
    ],
    "ReduceL2 line leaves axes that have another order here": [
        helper.make_node("ReduceL2", ["x", "three"], ["line"], keepdims=0),
        helper.make_node("ReduceMean", ["line", "three"], ["y"]),
    ],
    "BatchNormalization y is no norm of images or of rows": [
        helper.make_node("ReduceMean", ["x", "channels"], ["line"], keepdims=0),
        helper.make_node("BatchNormalization", ["line", *["scale"] * 4], ["y"]),
    ],
    "Mul y combines tensors with different numbers of axes": [
        helper.make_node("ReduceMean", ["x", "rows"], ["short"], keepdims=0),
        helper.make_node("Mul", ["x", "short"], ["y"]),
    ],
    "the shape of y is not known": [
        helper.make_node("ReduceMean", ["x", "axes"], ["short"], keepdims=0),
        helper.make_node("Mul", ["x", "short"], ["y"]),
    ],
}
NUMBERS = [
    constant("rows", [1, 2], np.int64),
    constant("channels", [1], np.int64),
    constant("three", [2], np.int64),
    constant("scale", np.ones(32)),
]
ALL_REFUSALS = {
    **REFUSED,
    **{why: (nodes, NUMBERS) for why, nodes in OWN_REFUSALS.items()},
}


@pytest.mark.parametrize("why", ALL_REFUSALS)
def test_what_it_can_not_convert_is_named(why, tmp_path):
    with pytest.raises(ArtifactFailed, match=f"small.onnx can't be converted for LiteRT: .*{why}"):
        compiled(small(tmp_path, *ALL_REFUSALS[why]), tmp_path)
    assert not (tmp_path / ARTIFACT).exists()


def test_a_file_of_another_form_is_refused(exported, tmp_path):
    """A bundle's artifact comes from elsewhere."""
    from ai_edge_litert import schema_py_generated as schema

    compiled(exported[0], tmp_path)
    model = schema.ModelT.InitFromPackedBuf((tmp_path / ARTIFACT).read_bytes())
    model.subgraphs[0].outputs = [*model.subgraphs[0].outputs] * 2
    model.signatureDefs = []
    builder = flatbuffers.Builder(2**20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (tmp_path / ARTIFACT).write_bytes(builder.Output())
    with pytest.raises(ArtifactFailed, match="LiteRT can't load .*: it has 1 inputs and 2 outputs, not one of each"):
        LiteRt(HERE).load(tmp_path)


def test_uint8_activations_and_files_that_are_no_graphs_are_refused(exported, tmp_path):
    graph, images, _ = exported
    Quantizer(graph, images, "asymmetric", tmp_path).write(tmp_path / "int8.onnx")
    with pytest.raises(ArtifactFailed, match="has zero points; this runtime takes symmetric int8 only"):
        compiled(tmp_path / "int8.onnx", tmp_path / "int8")
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match="model.onnx is not an ONNX graph: "):
        compiled(tmp_path / "model.onnx", tmp_path)


def test_a_damaged_artifact_is_refused(exported, tmp_path):
    compiled(exported[0], tmp_path)
    whole = (tmp_path / ARTIFACT).read_bytes()
    for content in (b"", b"nonsense, but longer", whole[: len(whole) // 2], whole[:100]):
        (tmp_path / ARTIFACT).write_bytes(content)
        with pytest.raises(ArtifactFailed, match="LiteRT can't load"):
            LiteRt(HERE).load(tmp_path)


def test_other_images_are_refused(exported, tmp_path):
    session = compiled(exported[0], tmp_path)
    for images in (np.zeros((1, 16, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)):
        with pytest.raises(ArtifactFailed, match=r"LiteRT can't run on \w+ 1×"):
            session.embed(images)
    assert session.embed(random_images(2)).shape[0] == 2


def test_what_is_missing_is_named(exported, tmp_path, monkeypatch):
    with pytest.raises(BadOption, match="device: LiteRT runs on CPU here, not on GPU"):
        make_target(TargetSettings("litert", "GPU", board="a board elsewhere"))
    with pytest.raises(BadOption, match="has no option 'delegate'"):
        make_target(TargetSettings("litert", options={"delegate": "x"}))
    monkeypatch.setattr("targets.on_cpu.find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(Unusable, match=r"onnx not installed, which LiteRT's artifacts are made with. Run: pip install"):
        LiteRt(HERE).compile(exported[0], tmp_path, JOB)
    monkeypatch.setattr("targets.on_cpu.find_spec", lambda _: None)
    with pytest.raises(Unusable, match="ai-edge-litert, flatbuffers and onnx not installed"):
        LiteRt(HERE).check_compiler()
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(Unusable, match="does not start"):
        LiteRt(HERE).check()


def test_importing_the_target_imports_no_runtime():
    script = (
        "import sys, targets.litert.target, targets.litert.lower, targets.ncnn.target; "
        "assert not {'ai_edge_litert', 'flatbuffers', 'ncnn', 'onnx', 'torch'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)


def test_a_graph_without_its_first_operations_is_refused(exported, tmp_path):
    def turned(graph):
        graph.node[1].attribute[0].ints[:] = [0, 3, 2, 1]

    with pytest.raises(ArtifactFailed, match="does not begin with a Cast and a Transpose of uint8 N×H×W×3"):
        compiled(with_nodes(exported[0], tmp_path / "turned.onnx", turned), tmp_path)
