"""Quantised graphs: their structure, and that their embeddings stay near."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import NotQuantisable
from calibration.fallback import fall_back, sensitivities
from calibration.quantize import Quantizer, write_half
from pipeline.stages.calibrate import EXACT
from pipeline.stages.export import deployed, write_graph
from targets.contract import Job, make_target, weight_bits
from targets.settings import TargetSettings
from tests.graphs import unquantised
from tests.helpers import alive_network, random_images


def embed(path, images):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # as ONNX defines it, on every processor
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(deployed(alive_network()), random_images(2), 18, path)
    return path


@pytest.fixture(params=["symmetric", "asymmetric"])
def quantizer(request, graph, tmp_path):
    return Quantizer(graph, random_images(24), request.param, tmp_path)


def test_fp16_keeps_input_output_and_the_outer_operations(graph, tmp_path):
    write_half(graph, tmp_path / "half.onnx")
    model = onnx.load(tmp_path / "half.onnx")
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert types == {"images": TensorProto.UINT8, "embeddings": TensorProto.FLOAT}
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kernels = [node.input[1] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert {weights[name] for name in kernels} == {TensorProto.FLOAT16}
    assert weights["embedder.mean"] == TensorProto.FLOAT
    onnx.checker.check_model(model, full_check=True)
    found = embed(tmp_path / "half.onnx", images := random_images(8))
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)  # the last division is not in fp16
    assert (embed(graph, images) * found).sum(1).min() > 0.9999


def test_squares_that_overflow_fp16_are_computed_in_fp32(graph, tmp_path):
    """Embeddings of length 600 before they are normalised: the sum of squares is over 65 504."""
    model = onnx.load(graph)
    (head,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    for tensor in model.graph.initializer:
        if tensor.name in head.input[1:]:
            tensor.CopyFrom(numpy_helper.from_array(600 * numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, tmp_path / "large.onnx")
    write_half(tmp_path / "large.onnx", tmp_path / "half.onnx")
    images = random_images(4)
    found = embed(tmp_path / "half.onnx", images)
    assert np.isfinite(found).all()
    assert (embed(graph, images) * found).sum(1).min() > 0.999


def test_every_layer_is_between_q_and_dq(quantizer, tmp_path):
    quantizer.write(tmp_path / "int8.onnx")
    assert unquantised(tmp_path / "int8.onnx") == []
    model = onnx.load(tmp_path / "int8.onnx")
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    kernels = [node for node in pairs if node.input[0] in values and len(values[node.input[0]].dims) == 4]
    assert len(kernels) == 14
    for node in kernels:  # weights: int8, one scale per output channel, zero point 0
        assert values[node.input[0]].data_type == TensorProto.INT8
        assert list(values[node.input[1]].dims) == [values[node.input[0]].dims[0]]
        assert not numpy_helper.to_array(values[node.input[2]]).any()
    points = [numpy_helper.to_array(values[n.input[2]]) for n in model.graph.node if n.op_type == "QuantizeLinear"]
    if quantizer.kind == "symmetric":
        assert {(point.dtype.name, int(point)) for point in points} == {("int8", 0)}
        assert not any(values[n.input[0]].data_type == TensorProto.INT32 for n in pairs if n.input[0] in values)
    else:
        assert {point.dtype.name for point in points} == {"uint8"}


def test_quantised_embeddings_are_near(quantizer, graph, tmp_path):
    """As near as random weights allow; trained ones are nearer."""
    quantizer.write(tmp_path / "int8.onnx")
    images = random_images(16, seed=5)
    assert (embed(graph, images) * embed(tmp_path / "int8.onnx", images)).sum(1).mean() > 0.9


def test_excluded_layers_stay_in_float(quantizer, tmp_path):
    excluded = quantizer.layers[2:4]
    quantizer.write(tmp_path / "int8.onnx", excluded=excluded)
    assert sorted(unquantised(tmp_path / "int8.onnx")) == sorted(excluded)


def test_float_for_the_most_sensitive_layers_helps_more_than_for_the_least(graph, tmp_path):
    images, told = random_images(16), []
    quantizer = Quantizer(graph, images, "symmetric", tmp_path)
    ranked = sensitivities(quantizer, embed, images, tmp_path, lambda: told.append(1))
    assert len(told) == len(ranked) == len(quantizer.layers)
    assert [one.loss for one in ranked] == sorted((one.loss for one in ranked), reverse=True)
    cosine = {}
    for which, some in (("most", ranked[:4]), ("least", ranked[-4:])):
        quantizer.write(tmp_path / "int8.onnx", excluded=[one.layer for one in some])
        cosine[which] = (embed(graph, images) * embed(tmp_path / "int8.onnx", images)).sum(1).mean()
    assert cosine["most"] > cosine["least"]


class Recording:
    """A fake quantizer; `cost` maps the number of float layers to the loss of a graph."""

    layers = tuple(f"layer{n}" for n in range(12))

    def __init__(self, cost):
        self.written, self.cost = [], cost

    def write(self, _path, excluded=()):
        self.written.append(tuple(excluded))

    def fall_back(self, most, largest, ranked=None):
        ranked = [] if ranked is None else ranked

        def rank(verdict):
            ranked.append(verdict)
            return self.layers

        quantizer: Any = self
        gate = lambda _path: self.cost(len(self.written[-1]))  # noqa: E731
        return fall_back(quantizer, rank, Path("unused"), gate, lambda cost: cost, most, largest)


@pytest.mark.parametrize(("needed", "tries"), [(0, 1), (1, 2), (3, 5), (5, 7), (8, 8)])
def test_as_few_layers_as_needed_fall_back(needed, tries):
    quantizer, ranked = Recording(lambda count: -count), []
    outcome = quantizer.fall_back(-needed, 10, ranked)
    assert outcome.holds
    assert outcome.excluded == quantizer.layers[:needed]
    assert outcome.before == 0
    assert quantizer.written[-1] == outcome.excluded  # the file is that of the outcome
    assert len(quantizer.written) <= tries
    assert ranked == ([0] if needed else [])  # sensitivities are measured only if needed


@pytest.mark.parametrize(
    ("costs", "largest", "kept"), [((7, 5, 3, 9), 3, 2), ((7, 8, 9), 2, 0), ((7,), 0, 0), ((7, 7), 1, 0)]
)
def test_where_the_gate_cannot_hold_the_cheapest_attempt_is_kept(costs, largest, kept):
    quantizer = Recording(lambda count: costs[count])
    outcome = quantizer.fall_back(1, largest)
    assert not outcome.holds
    assert (outcome.verdict, outcome.before) == (costs[kept], 7)
    assert outcome.excluded == quantizer.written[-1] == quantizer.layers[:kept]


def test_a_graph_without_layers_is_refused(tmp_path):
    value = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 4, 4, 3])
    out = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 4, 4, 3])
    graph = helper.make_graph([helper.make_node("Cast", ["images"], ["embeddings"], to=1)], "g", [value], [out])
    onnx.save(helper.make_model(graph), path := tmp_path / "empty.onnx")
    with pytest.raises(NotQuantisable, match="no convolution or linear layer"):
        write_half(path, tmp_path / "half.onnx")
    with pytest.raises(NotQuantisable, match="nothing to quantise"):
        Quantizer(path, random_images(2), "symmetric", tmp_path)


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(("bits", "largest"), [(7, 64), (8, 127)])
def test_weights_have_as_many_bits_as_asked(graph, kind, bits, largest, tmp_path):
    Quantizer(graph, random_images(24), kind, tmp_path, bits).write(tmp_path / "int8.onnx")
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer
        if tensor.data_type == TensorProto.INT8 and tensor.name.endswith("_quantized")
    ]
    assert weights
    assert max(np.abs(one.astype(int)).max() for one in weights) == largest
    assert 2 * 255 * 64 < 2**15  # the sum of two products of uint8 and such a weight fits into 16 bits


@pytest.mark.parametrize(("runtime", "kind"), [("onnxruntime", "asymmetric"), ("openvino", "symmetric")])
def test_int8_kernels_of_any_processor_compute_what_onnx_defines(runtime, kind, graph, tmp_path):
    """With weights of 8 bits they do not where the processor has no VNNI."""
    target = make_target(TargetSettings(runtime))
    quantizer = Quantizer(graph, images := random_images(24), kind, tmp_path, weight_bits(target))
    quantizer.write(tmp_path / "int8.onnx")
    found = []
    for number, one in enumerate((target, make_target(EXACT))):
        (folder := tmp_path / str(number)).mkdir()
        one.compile(tmp_path / "int8.onnx", folder, Job(32, 32, (1, 24)))
        found.append(one.load(folder).embed(images))
    assert (found[0] * found[1]).sum(1).mean() > 0.97
