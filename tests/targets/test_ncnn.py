"""ncnn: it agrees with torch and ONNX Runtime, int8 included, and says what is wrong. Needs the extra `ncnn`."""

import copy
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from calibration.quantize import Quantizer, write_half
from pipeline.stages.export import same_neighbours
from targets.contract import Job, is_portable, make_target
from targets.errors import ArtifactFailed, BadOption, Unusable
from targets.ncnn.convert import PARAM, WEIGHTS
from targets.ncnn.target import FACTS, Ncnn
from targets.settings import TargetSettings
from tests.helpers import random_images
from tests.targets.parity import (
    CASES,
    JOB,
    REFUSED,
    SHORT,
    after_convolution,
    by_onnxruntime,
    compiled_by,
    constant,
    cosine,
    exactly,
    short,
    small,
    with_nodes,
)

pytest.importorskip("ncnn", reason="the extra `ncnn` is not installed")
pytest.importorskip("targets.ncnn.convert").pnnx_program() or pytest.skip("pnnx is missing", allow_module_level=True)

HERE = TargetSettings("ncnn", threads=1)
# Its 3×3 convolutions use Winograd's transform, whose sums round otherwise than ONNX Runtime's: 2e-5 was seen here.
CLOSE = 1e-4
NOT_IN_NCNN = (
    "a part of the channels and of the image",  # it crops 3 axes at most in one operation, and says so when it runs
    # poolings, see below
    "borders as other frameworks write them",
    "windows that begin behind the image",
    "windows that begin in a border at the end",
    "averages of what is left at the edge, as with a border",
)


def compiled(graph, folder, job=JOB):
    """A session of a graph."""
    return compiled_by(Ncnn(HERE), graph, folder, job)


def int8_terms(folder):
    """int8_scale_term of each layer that has one."""
    return [word for word in (folder / PARAM).read_text().split() if word.startswith("8=")]


def test_it_embeds_as_torch_does_at_any_batch(exported, tmp_path):
    graph, images, expected = exported
    session = compiled(graph, tmp_path)
    for count in (len(images), 1, 4):
        found = session.embed(images[:count])
        assert (found.dtype, found.shape) == (np.float32, (count, expected.shape[1]))
        assert np.allclose(found, expected[:count], atol=CLOSE)
    assert same_neighbours(expected, session.embed(images))
    assert session.compute_ms > 0


def test_its_artifact_names_its_converter_and_is_the_same_each_time(exported, tmp_path):
    target = make_target(HERE)
    assert is_portable(target)
    assert target.check().startswith("ncnn 1.")
    for name in "ab":
        (tmp_path / name).mkdir()
        target.compile(exported[0], tmp_path / name, JOB)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted((PARAM, WEIGHTS, FACTS))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    facts = json.loads((tmp_path / "a" / FACTS).read_text())
    assert facts["pnnx"].isdigit()
    assert (facts["half"], facts["height"], facts["width"]) == (False, 32, 32)


def test_fp16_halves_the_file_and_agrees_with_onnxruntime(exported, tmp_path):
    graph, images, _ = exported
    write_half(graph, half := tmp_path / "half.onnx")
    session, full = compiled(half, tmp_path / "half"), compiled(graph, tmp_path / "full")
    assert cosine(session.embed(images), by_onnxruntime(half, tmp_path / "other", images)) > 0.999
    assert cosine(session.embed(images), full.embed(images)) > 0.99
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.51 * sizes[1]


def only_inputs_in_int8(graph):
    """Drop the Q/DQ pairs that no layer reads: ncnn quantises the inputs of layers, and computes in float between."""
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] in weights]
    pairs = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    direct = {}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in pairs]:
        direct[node.output[0]] = pairs[node.input[0]].input[0]
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in direct and not (node in layers and place == 0):
                node.input[place] = direct[name]
    used = {name for node in graph.node for name in node.input}
    for node in [node for node in graph.node if node.output[0] in direct and node.output[0] not in used]:
        graph.node.remove(node)


@pytest.mark.parametrize("network", [pytest.param("plain", marks=pytest.mark.slow), "depthwise"])
def test_each_layer_in_int8_agrees_with_onnxruntime(network, exported, depthwise, tmp_path):
    """One layer at a time: with all of them, rounding in a random network decides everything."""
    graph, images = exported[:2] if network == "plain" else depthwise
    quantizer = Quantizer(graph, images, "symmetric", tmp_path)
    whole = by_onnxruntime(graph, tmp_path / "whole", images)
    for number, layer in enumerate([*quantizer.layers[:5:2], quantizer.layers[-1]]):  # the last one is linear
        quantizer.write(path := tmp_path / f"{number}.onnx", only=layer)
        found = compiled(path, tmp_path / f"{number}").embed(images)
        expected = exactly(with_nodes(path, path, only_inputs_in_int8), images)
        assert len(int8_terms(tmp_path / f"{number}")) == 1
        # The same values are rounded to the same steps, except where a sum in float ends beside a half.
        assert 1 - cosine(found, expected) < 1e-4, layer
        assert not np.allclose(found, whole, atol=1e-5), layer


def test_int8_is_passed_from_layer_to_layer_and_quarters_the_file(exported, tmp_path):
    graph, images, _ = exported
    (quantizer := Quantizer(graph, images, "symmetric", tmp_path)).write(tmp_path / "int8.onnx")
    session = compiled(tmp_path / "int8.onnx", tmp_path / "int8")
    terms = int8_terms(tmp_path / "int8")
    assert len(terms) == len(quantizer.layers)
    assert terms.count("8=102") >= 4  # convolutions that only convolutions read
    assert np.allclose(np.linalg.norm(session.embed(images), axis=1), 1, atol=1e-4)
    compiled(graph, tmp_path / "full")
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("int8", "full")]
    assert sizes[0] < 0.26 * sizes[1]


def test_a_grouped_convolution_stays_in_float_and_the_input_may_be_scaled_in_place(tmp_path):
    """ncnn's int8 kernel of grouped convolutions gives NaN, and ncnn crashes where its first layer works in place on
    memory that is not its own.
    """
    random = np.random.default_rng(0)
    images = random_images(9)

    def tensor(name, values):
        return onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)

    nodes = [
        helper.make_node("Cast", ["images"], ["float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["planes", "scale"], ["small"], name="div"),
        helper.make_node("Conv", ["small", "w1"], ["wide"], name="first", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["wide", "w2"], ["grouped"], name="second", kernel_shape=[3, 3], group=4),
        helper.make_node("ReduceMean", ["grouped", "axes"], ["mean"], name="mean", keepdims=0),
        helper.make_node("ReduceL2", ["mean", "one"], ["length"], name="length", keepdims=1),
        helper.make_node("Div", ["mean", "length"], ["embeddings"], name="normalise"),
    ]
    constants = [
        tensor("scale", 255), tensor("w1", random.normal(size=(16, 3, 3, 3))),
        tensor("w2", random.normal(size=(32, 4, 3, 3)) * random.uniform(0.5, 2, (32, 1, 1, 1))),
        onnx.numpy_helper.from_array(np.array([2, 3]), "axes"), onnx.numpy_helper.from_array(np.array([1]), "one"),
    ]  # fmt: skip
    start = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 32, 32, 3])
    end = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 32])
    model = helper.make_model(
        helper.make_graph(nodes, "grouped", [start], [end], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    onnx.save(model, graph := tmp_path / "model.onnx")
    Quantizer(graph, images, "symmetric", tmp_path).write(tmp_path / "int8.onnx")
    session = compiled(tmp_path / "int8.onnx", tmp_path / "int8")
    assert int8_terms(tmp_path / "int8") == ["8=2"]  # the other convolution
    assert cosine(session.embed(images), by_onnxruntime(graph, tmp_path / "other", images)) > 0.999


@pytest.mark.parametrize("case", [case for case in (*CASES, *SHORT) if case not in NOT_IN_NCNN])
def test_operations_agree_with_onnxruntime_on_images_that_are_not_square(case, tmp_path):
    images = random_images(3)[:, :, :31].copy()
    write = small if case in CASES else short
    graph = write(tmp_path, *after_convolution(*copy.deepcopy({**CASES, **SHORT}[case])))
    session = compiled(graph, tmp_path / "own", Job(32, 31, (1, 3)))
    assert np.allclose(session.embed(images), exactly(graph, images), atol=CLOSE)


OTHERWISE = {
    "MaxPool y has another border on each side": (
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], [],
    ),
    "MaxPool y has windows that begin behind the image": CASES["windows that begin behind the image"],
    "AveragePool y counts pixels behind the image": CASES["averages of what is left at the edge, as with a border"],
    "Flatten rows keeps other axes than that of images": (
        [helper.make_node("GlobalAveragePool", ["x"], ["long"]),
         helper.make_node("Flatten", ["long"], ["rows"], axis=2),
         helper.make_node("Reshape", ["rows", "s"], ["y"])], [constant("s", [-1, 3, 1, 1], np.int64)],
    ),
    "it gives 1 numbers for an image, not 3": REFUSED["ReduceMean y reduces no axis"],
    **{why: REFUSED[why] for why in (
        "Conv mixed is no convolution of images", "Gemm long scales or transposes", "Gemm biased scales or transposes",
    )},
}  # fmt: skip


@pytest.mark.parametrize("why", OTHERWISE)
def test_what_pnnx_would_compute_otherwise_without_a_word_is_refused(why, tmp_path):
    graph = small(tmp_path, *after_convolution(*copy.deepcopy(OTHERWISE[why])))
    with pytest.raises(ArtifactFailed, match=f"ncnn can't run small.onnx: {why}"):
        compiled(graph, tmp_path, Job(32, 31, (1, 3)))
    assert not (tmp_path / FACTS).exists()


def test_a_network_without_convolutions_is_refused(tmp_path):
    """pnnx would take the first axis for another, and most operations would compute along the wrong one."""
    graph = short(tmp_path, *copy.deepcopy(SHORT["a linear layer without a bias"]))
    with pytest.raises(ArtifactFailed, match="ncnn can't run small.onnx: it has no convolution, by which pnnx tells"):
        compiled(graph, tmp_path)


def test_weights_in_int8_are_filled_up_to_whole_words(tmp_path):
    """15 weights take 16 bytes in ncnn's file; what follows them would be read at another place otherwise."""
    random, images = np.random.default_rng(0), random_images(9)[:, :, :31].copy()
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b"], ["few"], name="first"),
        helper.make_node("Conv", ["few", "w2"], ["y"], name="second"),
    ]
    weights = {"w1": random.normal(size=(5, 3, 1, 1)), "w2": random.normal(size=(8, 5, 3, 3))}
    weights["b"] = 99 * random.normal(size=5)
    graph = small(tmp_path, nodes, [constant(name, value) for name, value in weights.items()])
    Quantizer(graph, images, "symmetric", tmp_path).write(tmp_path / "int8.onnx")
    session = compiled(tmp_path / "int8.onnx", tmp_path / "int8", Job(32, 31, (1, 9)))
    assert len(int8_terms(tmp_path / "int8")) == 2
    assert cosine(session.embed(images), exactly(graph, images)) > 0.999


def test_uint8_activations_are_refused(exported, tmp_path):
    graph, images, _ = exported
    Quantizer(graph, images, "asymmetric", tmp_path).write(tmp_path / "int8.onnx")
    with pytest.raises(ArtifactFailed, match="has zero points; this runtime takes symmetric int8 only"):
        compiled(tmp_path / "int8.onnx", tmp_path / "int8")


@pytest.mark.parametrize("name", [PARAM, WEIGHTS, FACTS])
def test_a_damaged_or_missing_file_is_refused_before_ncnn_reads_it(name, exported, tmp_path, capfd):
    compiled(exported[0], tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactFailed, match=f"ncnn can't load .*{name}: "):
        Ncnn(HERE).load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactFailed, match="ncnn can't load"):
        Ncnn(HERE).load(tmp_path)
    assert capfd.readouterr().err == ""


def test_what_it_can_not_convert_is_named(exported, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ArtifactFailed, match="model.onnx is not an ONNX graph: "):
        compiled(tmp_path / "model.onnx", tmp_path)

    def unknown(graph):
        node = next(node for node in graph.node if node.op_type == "Relu")
        node.op_type, node.domain = "Frobnicate", "some.where"

    with pytest.raises(ArtifactFailed, match=r"(pnnx can't convert|ncnn can't run) strange.onnx: \S"):
        compiled(with_nodes(exported[0], tmp_path / "strange.onnx", unknown), tmp_path)

    def no_transpose(graph):
        graph.node[1].attribute[0].ints[:] = [0, 3, 2, 1]

    with pytest.raises(ArtifactFailed, match="does not begin with a Cast and a Transpose of uint8 N×H×W×3"):
        compiled(with_nodes(exported[0], tmp_path / "turned.onnx", no_transpose), tmp_path)
    assert not (tmp_path / FACTS).exists()


def test_images_of_another_size_are_refused(exported, tmp_path):
    session = compiled(exported[0], tmp_path)
    with pytest.raises(ArtifactFailed, match="takes images of 32×32, not 16×32"):
        session.embed(np.zeros((1, 16, 32, 3), np.uint8))


def test_what_is_missing_is_named(exported, tmp_path, monkeypatch):
    with pytest.raises(BadOption, match="device: ncnn runs on CPU here, not on GPU"):
        make_target(TargetSettings("ncnn", "GPU", board="a board elsewhere"))
    with pytest.raises(BadOption, match="has no option 'vulkan'"):
        make_target(TargetSettings("ncnn", options={"vulkan": True}))
    monkeypatch.setattr("targets.ncnn.target.pnnx_program", lambda: None)
    with pytest.raises(Unusable, match=r"pnnx not installed, which ncnn's artifacts are made with. Run: pip install"):
        Ncnn(HERE).compile(exported[0], tmp_path, JOB)
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(Unusable, match="does not start"):
        Ncnn(HERE).check()


@pytest.mark.parametrize("error", [ImportError, RuntimeError, OSError])
def test_artifacts_are_made_without_ncnn_too(error, exported, tmp_path, monkeypatch):
    """For a board; then nothing is tried here."""

    def start(_):
        raise error("no ncnn for this machine")

    monkeypatch.setattr(Ncnn, "start", start)
    Ncnn(HERE).compile(exported[0], tmp_path, JOB)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((PARAM, WEIGHTS, FACTS))
