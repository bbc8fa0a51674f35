"""Foreign graphs in the form that all converters read: the same results, and nothing that is needed is lost."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.foreign.batching import free_batch
from pipeline.foreign.plainer import _constant, fold_norms, lift_constants
from pipeline.foreign.reading import all_nodes
from tests.foreign import LENGTH, PICTURES, foreign_model, taken, with_computed_shape, with_nodes, with_norm


def taken_as_its_file(model, path):
    """What is made of a model, once it is seen to give the same."""
    onnx.save(model, path)
    wrapped = taken(path)
    session = onnxruntime.InferenceSession(wrapped.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["embeddings"], {"images": PICTURES})
    np.testing.assert_allclose(found, wrapped.original.embed(PICTURES), atol=1e-5)
    return wrapped


@pytest.mark.parametrize(
    "change",
    [
        with_computed_shape,
        lambda model: with_computed_shape(model, allowzero=1),  # as torch's new exporter writes it
        lambda model: with_computed_shape(model, rows=4),  # 0 would copy 4 times as many rows
        with_norm,
        lambda model: with_norm(model, transB=1),
        lambda model: with_norm(model, transB=0),
    ],
)
def test_the_graph_has_operations_that_every_converter_reads(change, tmp_path):
    """Those of zoo's own export at the end, constant shapes, and no norm that a converter would fold itself."""
    model = taken_as_its_file(change(foreign_model()), tmp_path / "net.onnx").model
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[-3:] == ["ReduceL2", "Clip", "Div"]
    assert not {"Shape", "Gather", "Unsqueeze", "Concat", "Constant", "BatchNormalization", "Max"} & {*kinds}
    assert {"Conv_0", "Conv_2"} <= {node.name for node in model.graph.node}  # names that the file's layers would have


def test_a_graph_for_one_image_may_forbid_empty_shapes(tmp_path):
    nodes = [helper.make_node("Reshape", ["pooled", "rows"], ["flat"], allowzero=1)]
    model = with_nodes(foreign_model((1, 3, 32, 24)), "Flatten", nodes, rows=np.array([1, -1], np.int64))
    taken_as_its_file(model, tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["free_shape_0", "free_shape_5"])
def test_a_file_may_have_names_that_zoo_would_give(name, tmp_path):
    nodes = [
        helper.make_node("Reshape", ["pooled", "rows"], ["long"]),
        helper.make_node("Reshape", ["long", name], ["flat"]),
    ]
    numbers = {"rows": np.array([1, -1, 4], np.int64), name: np.array([-1, LENGTH], np.int64)}
    model = with_nodes(foreign_model((1, 3, 32, 24)), "Flatten", nodes, **numbers)
    taken_as_its_file(model, tmp_path / "net.onnx")


@pytest.mark.parametrize(("shape", "forbids"), [([1, -1], False), ([1, 4], False), ([1, 0], True)])
def test_a_reshape_forbids_copied_axes_only_where_it_makes_an_empty_tensor(shape, forbids):
    nodes = [helper.make_node("Reshape", ["pooled", "rows"], ["flat"], allowzero=1)]
    model = with_nodes(foreign_model((1, 3, 32, 24)), "Flatten", nodes, rows=np.array(shape, np.int64))
    (node,) = [node for node in free_batch(model, 1).graph.node if node.op_type == "Reshape"]
    assert [one.name for one in node.attribute] == ["allowzero"] * forbids


@pytest.mark.parametrize(
    ("two", "three", "shape"),
    [
        ([2, 4], [3, 4], [-1, 4]),
        ([2, 4], [2, 4], [2, 4]),
        ([], [], []),
        ([8, 4], [12, 4], None),
        ([2, 2], [3, 3], None),
        ([2, 0], [3, 0], None),
    ],
)
def test_a_shape_is_constant_if_only_its_first_axis_is_the_number_of_images(two, three, shape):
    """Found with two images and with three."""
    found = _constant([np.array(two, np.int64), np.array(three, np.int64)])
    assert (None if found is None else found.tolist()) == shape


def test_a_norm_is_counted_as_it_was(tmp_path):
    wrapped = taken_as_its_file(with_norm(foreign_model(), transB=1), tmp_path / "net.onnx")
    assert wrapped.cost.parameters == 8 * 27 + LENGTH * (8 * 9 + LENGTH) + LENGTH + 4 * LENGTH


def test_a_norm_of_other_precision_stays(tmp_path):
    model = taken_as_its_file(with_norm(foreign_model(), np.float64), tmp_path / "net.onnx").model
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


def test_weights_that_only_a_branch_reads_stay(tmp_path):
    """A branch of an `If` reads values of the graph around it without naming them among its inputs."""
    model = with_norm(foreign_model())
    graph = model.graph
    graph.node[-1].output[0] = "before"
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in {"gain": np.linspace(1, 2, LENGTH), "loss": np.linspace(2, 1, LENGTH), "most": 1e9}.items()
    )

    def branch(factor):
        result = helper.make_tensor_value_info(f"{factor}_out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Mul", ["before", factor], [result.name])], factor, [], [result])

    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["before"], ["largest"], keepdims=0),
            helper.make_node("Less", ["largest", "most"], ["small"]),
            helper.make_node("If", ["small"], ["features"], then_branch=branch("gain"), else_branch=branch("loss")),
        ]
    )
    taken_as_its_file(model, tmp_path / "net.onnx")


def test_a_result_that_a_branch_reads_too_keeps_its_layer(tmp_path):
    model = with_norm(foreign_model())
    graph = model.graph
    graph.node[-1].output[0] = "before"
    graph.initializer.append(numpy_helper.from_array(np.array(1e9, np.float32), "most"))

    def branch(read):
        result = helper.make_tensor_value_info(f"{read}_out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Neg", [read], [result.name])], read, [], [result])

    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["before"], ["largest"], keepdims=0),
            helper.make_node("Less", ["largest", "most"], ["small"]),
            helper.make_node("If", ["small"], ["features"], then_branch=branch("mixed"), else_branch=branch("before")),
        ]
    )
    taken_as_its_file(model, tmp_path / "net.onnx")


def test_a_norm_inside_a_branch_stays():
    model = with_norm(foreign_model())
    graph = model.graph
    (norm,) = [node for node in graph.node if node.op_type == "BatchNormalization"]
    inside = onnx.NodeProto()
    inside.CopyFrom(norm)
    graph.initializer.append(numpy_helper.from_array(np.array(1e9, np.float32), "most"))

    def branch(last):
        result = helper.make_tensor_value_info(last.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([last], last.op_type, [], [result])

    other = branch(helper.make_node("Identity", ["gamma"], ["other"]))
    nodes = [
        helper.make_node("ReduceMax", ["wide"], ["largest"], keepdims=0),
        helper.make_node("Less", ["largest", "most"], ["small"]),
        helper.make_node("If", ["small"], ["normed"], then_branch=branch(inside), else_branch=other),
    ]
    model = onnx.shape_inference.infer_shapes(with_nodes(model, "BatchNormalization", nodes))
    kinds = [node.op_type for node in all_nodes(fold_norms(model))]
    assert "BatchNormalization" in kinds
    assert "Gemm" not in kinds


def test_a_norm_of_channels_behind_a_product_along_rows_stays(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["d", "turn"], ["turned"]),
        helper.make_node("BatchNormalization", ["turned", *"ijkl"], ["normed"]),
        helper.make_node("GlobalAveragePool", ["normed"], ["pooled"]),
    ]
    random = np.random.default_rng(5)
    numbers = {name: random.uniform(1, 2, LENGTH).astype(np.float32) for name in "ijkl"}
    numbers["turn"] = random.normal(size=(6, LENGTH)).astype(np.float32)
    model = taken_as_its_file(
        with_nodes(foreign_model(), "GlobalAveragePool", nodes, **numbers), tmp_path / "net.onnx"
    ).model
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


def test_constants_of_each_kind_but_text_become_initializers():
    kinds: dict[str, Any] = {
        "value": numpy_helper.from_array(np.arange(3.0)), "value_float": 0.5, "value_floats": [0.5, 1.5],
        "value_int": 7, "value_ints": [7, 8], "value_string": "words",
    }  # fmt: skip
    nodes = [helper.make_node("Constant", [], [kind], **{kind: value}) for kind, value in kinds.items()]
    model = lift_constants(helper.make_model(helper.make_graph(nodes, "constants", [], [])))
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert [node.output[0] for node in model.graph.node] == ["value_string"]
    assert {name: (value.dtype.name, value.tolist()) for name, value in found.items()} == {
        "value": ("float64", [0.0, 1.0, 2.0]), "value_float": ("float32", 0.5), "value_floats": ("float32", [0.5, 1.5]),
        "value_int": ("int64", 7), "value_ints": ("int64", [7, 8]),
    }  # fmt: skip
