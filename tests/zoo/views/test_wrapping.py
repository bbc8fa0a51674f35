"""A release's graph behind another input gives the same embeddings."""

import re
from itertools import product
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.quantize import Quantizer, write_half
from tests.zoo.shelf import write_graph
from zoo.errors import ExportError
from zoo.views.view import Colors, Dtype, Layout, Range, View
from zoo.views.wrapping import input_size, output_dimension, read_graph, wrap

VIEWS = [
    View(layout, dtype, range_, colors, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    for layout, dtype, range_, colors in product(get_args(Layout), get_args(Dtype), get_args(Range), get_args(Colors))
    if dtype == "float32" or range_ == "255"
]


def run(content, array):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


@pytest.fixture(scope="module")
def graphs(exported, tmp_path_factory):
    """The exported graph in each precision."""
    path, images, _ = exported
    folder = tmp_path_factory.mktemp("graphs")
    found = {"fp32": path, "fp16": folder / "fp16.onnx"}
    write_half(path, found["fp16"])
    for kind in ("symmetric", "asymmetric"):
        found[kind] = folder / f"{kind}.onnx"
        Quantizer(path, images, kind, folder).write(found[kind])
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "symmetric", "asymmetric"])
def test_every_view_of_every_precision_gives_the_embeddings_of_its_graph(graphs, exported, precision):
    _, images, _ = exported
    expected = run(str(graphs[precision]), images)
    for view in VIEWS:
        content = wrap(read_graph(graphs[precision]), view, {})
        cosines = (run(content, view.feed(images)) * expected).sum(1)
        assert cosines.min() > 0.9999, view


def test_a_view_of_another_kind_would_not_pass(graphs, exported):
    """So the comparison above says something."""
    _, images, expected = exported
    content = wrap(read_graph(graphs["fp32"]), View("nchw", "float32", "255", "bgr"), {})
    wrong = run(content, View("nchw", "float32", "255", "rgb").feed(images))
    assert (wrong * expected).sum(1).min() < 0.9999


def test_weights_and_operations_are_those_of_the_release(graphs):
    before = read_graph(graphs["fp32"])
    view = View("nchw", "float32", "1", "bgr", input="input", output="fc_pred")
    after = onnx.load_from_string(wrap(read_graph(graphs["fp32"]), view, {}))
    kept = {one.name: numpy_helper.to_array(one) for one in after.graph.initializer}
    assert all(np.array_equal(kept[one.name], numpy_helper.to_array(one)) for one in before.graph.initializer)
    kinds = [node.op_type for node in before.graph.node]
    assert kinds[:2] == ["Cast", "Transpose"]
    assert [node.op_type for node in after.graph.node] == ["Gather", "Mul", *kinds[2:]]
    assert [one.name for one in after.graph.input] == ["input"]
    assert [one.name for one in after.graph.output] == ["fc_pred"]


def test_tensorrt_gets_uint8_straight_into_a_cast(graphs):
    after = onnx.load_from_string(wrap(read_graph(graphs["fp32"]), View("nchw", "uint8", "255", "bgr"), {}))
    (reader,) = [node for node in after.graph.node if "images" in node.input]
    assert reader.op_type == "Cast"


def test_a_fixed_batch_is_in_the_shapes(graphs, exported):
    _, images, expected = exported
    view = View("nchw", "float32", "255", batch=4)
    content = wrap(read_graph(graphs["fp32"]), view, {})
    graph = onnx.load_from_string(content).graph
    dims = [[dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in (*graph.input, *graph.output)]
    assert dims == [[4, 3, 32, 32], [4, 16]]
    rows = run(content, view.feed(images[:3]))
    assert len(rows) == 4
    assert (rows[:3] * expected[:3]).sum(1).min() > 0.9999
    with pytest.raises(Exception, match="Got invalid dimensions"):
        run(content, View("nchw", "float32", "255").feed(images[:3]))


def test_shapes_in_between_are_those_of_the_view(graphs, tmp_path):
    """Not those that a graph brings, with another batch."""
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(graphs["fp32"])), tmp_path / "model.onnx")
    assert len(read_graph(tmp_path / "model.onnx").graph.value_info) > 10
    content = wrap(read_graph(tmp_path / "model.onnx"), View("nchw", "float32", "255", batch=4), {})
    graph = onnx.load_from_string(content).graph
    made = {name for node in graph.node for name in node.output}
    assert {one.name for one in graph.value_info} <= made
    convolved = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    first = {one.type.tensor_type.shape.dim[0].dim_value for one in graph.value_info if one.name in convolved}
    assert first == {4}


def test_facts_take_the_place_of_those_of_the_release(graphs, tmp_path):
    model = read_graph(graphs["fp32"])
    for key, value in (("zoo.layout", "NHWC"), ("zoo.source_sha256", "a"), ("tool", "kept")):
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, tmp_path / "model.onnx")
    content = wrap(read_graph(tmp_path / "model.onnx"), View("nchw"), {"layout": "NCHW"})
    found = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert (found["zoo.layout"], found["tool"]) == ("NCHW", "kept")
    assert "zoo.source_sha256" not in found


def test_a_graph_without_a_transposition_gets_one(tmp_path):
    path = write_graph(tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    view = View("nchw", "float32", "1", "rgb")
    cosines = (run(wrap(read_graph(path), view, {}), view.feed(images)) * run(str(path), images)).sum(1)
    assert cosines.min() > 0.99999


def a_graph(nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, [*weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


PIXELS = value("images", TensorProto.UINT8, ["n", 4, 4, 3])
ROWS = value("rows", TensorProto.FLOAT, ["n", 48])
CAST = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
FLAT = helper.make_node("Flatten", ["floats"], ["rows"], axis=1)


def convert(path, view):
    model = read_graph(path)
    input_size(model), output_dimension(model)
    wrap(model, view, {})


def refusal(path, view=None):
    with pytest.raises(ExportError) as error:
        convert(path, view or View())
    return str(error.value)


def external():
    weight = numpy_helper.from_array(np.ones((1, 48), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../secret")
    add = helper.make_node("Add", ["flat", "w"], ["rows"])
    return a_graph([CAST, helper.make_node("Flatten", ["floats"], ["flat"]), add], [PIXELS], [ROWS], [weight])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: a_graph([CAST, FLAT], [PIXELS], [ROWS, value("floats", 1, ["n", 4, 4, 3])]), "1 inputs and 2 outputs"),
        (lambda: a_graph([CAST, FLAT], [PIXELS, value("x", 1, [1])], [ROWS]), "2 inputs and 1 outputs"),
        (external, "keeps its weights in other files"),
        (
            lambda: a_graph([FLAT], [value("floats", TensorProto.FLOAT, ["n", 4, 4, 3])], [ROWS]),
            "its input floats is float N×4×4×3; a release's graph takes uint8",
        ),
        (lambda: a_graph([CAST, FLAT], [value("images", TensorProto.UINT8, [1, 4, 4, 3])], [ROWS]), "is uint8 1×4×4×3"),
        (
            lambda: a_graph(
                [CAST, FLAT, helper.make_node("Shape", ["images"], ["shape"])],
                [PIXELS],
                [ROWS],
            ),
            "does not begin with a cast of images to float",
        ),
        (
            lambda: a_graph([CAST, helper.make_node("Nonsense", ["floats"], ["rows"])], [PIXELS], [ROWS]),
            "onnx refuses the view: .*Nonsense",
        ),
        (lambda: a_graph([CAST, FLAT], [PIXELS], [value("rows", TensorProto.FLOAT, ["n", "d"])]), "not float32 N×D"),
    ],
    ids=["two outputs", "two inputs", "weights elsewhere", "floats", "one image", "no cast", "unknown", "free length"],
)  # fmt: skip
def test_what_is_not_a_graph_of_a_release_is_refused(make, said, tmp_path):
    onnx.save(make(), tmp_path / "model.onnx")
    found = refusal(tmp_path / "model.onnx")
    assert re.search(said, found), found
    assert "\n" not in found


def test_what_is_no_graph_at_all_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    assert "is not an ONNX graph" in refusal(tmp_path / "model.onnx")


@pytest.mark.parametrize("names", [{"output": "floats"}, {"input": "floats"}, {"input": "input", "output": "output"}])
def test_a_value_inside_gives_way_to_the_names_of_a_view(names, tmp_path):
    """A foreign network's own input and output are inside a release's graph, and mostly called `input` and `output`."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "output"], ["input"]),
        helper.make_node("Flatten", ["input"], ["rows"]),
    ]
    model = a_graph(nodes, [PIXELS], [ROWS])
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "output"))
    view = View(**names)
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    expected = run(model.SerializeToString(), images)
    onnx.save(model, tmp_path / "model.onnx")
    content = wrap(read_graph(tmp_path / "model.onnx"), view, {})
    np.testing.assert_allclose(run(content, view.feed(images)), expected)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert (session.get_inputs()[0].name, session.get_outputs()[0].name) == (view.input, view.output)


def test_values_that_a_branch_reads_are_renamed_there_too(tmp_path):
    """A graph inside a node reads values of the graph around it by name."""
    kind = helper.make_tensor_value_info("taken", TensorProto.FLOAT, None)
    branches = {
        name: helper.make_graph([helper.make_node(operation, ["floats", "floats"], ["taken"])], name, [], [kind])
        for name, operation in (("then_branch", "Add"), ("else_branch", "Mul"))
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["cast"], ["floats"]),
        helper.make_node("If", ["yes"], ["chosen"], **branches),
        helper.make_node("Flatten", ["chosen"], ["rows"]),
    ]
    model = a_graph(nodes, [PIXELS], [ROWS])
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    expected = run(model.SerializeToString(), images)
    onnx.save(model, tmp_path / "model.onnx")
    for view in (View(input="floats"), View(output="floats")):
        content = wrap(read_graph(tmp_path / "model.onnx"), view, {})
        np.testing.assert_allclose(run(content, view.feed(images)), expected)


def test_input_and_output_of_a_view_have_different_names(tmp_path):
    onnx.save(a_graph([CAST, FLAT], [PIXELS], [ROWS]), tmp_path / "model.onnx")
    assert "can't both be called x" in refusal(tmp_path / "model.onnx", View(input="x", output="x"))
