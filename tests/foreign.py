"""Small networks as somebody else would export them, with weights drawn from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.foreign.describing import Asked, describe
from pipeline.foreign.reading import read_model
from pipeline.foreign.wrapping import Wrapped, wrap

HEIGHT, WIDTH, LENGTH = 32, 24, 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISED = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
ASKED = Asked(mean=MEAN, std=STD)  # the same, as `zoo.cli` reads it
PICTURES = np.random.default_rng(3).integers(0, 256, (5, HEIGHT, WIDTH, 3), np.uint8)
IMAGES = "x"


def foreign_model(
    shape: tuple[Any, ...] = ("n", 3, HEIGHT, WIDTH),
    *,
    kind: int = TensorProto.FLOAT,
    flatten: tuple[int, ...] | None = None,
    more_outputs: tuple[str, ...] = (),
    spatial: bool = False,
    opset: int = 17,
    ir: int = 8,
    images: str = IMAGES,
    extra: tuple[onnx.NodeProto, ...] = (),
) -> onnx.ModelProto:
    """Two convolutions, a mean, and a linear layer; input `images`, output `features`.

    Args:
        shape: of the input; three channels in axis 3 are NHWC.
        flatten: shape of a Reshape before the linear layer, in place of Flatten.
        more_outputs: inner values that are outputs too.
        spatial: whether the output is N×D×1×1.
        extra: further nodes, which nothing needs.
    """
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(size=(8, 3, 3, 3), scale=0.2),
        "second": random.normal(size=(LENGTH, 8, 3, 3), scale=0.2),
        "shift": random.normal(size=(LENGTH,), scale=0.2),
        "linear": random.normal(size=(LENGTH, LENGTH), scale=0.3),
    }
    nodes, start = [], images
    if kind == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", [start], ["float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["float", "scale"], ["scaled"]))
        weights["scale"] = np.array(1 / 128)
        start = "scaled"
    if len(shape) == 4 and shape[3] == 3:
        nodes.append(helper.make_node("Transpose", [start], ["first_axes"], perm=[0, 3, 1, 2]))
        start = "first_axes"
    nodes += [
        helper.make_node("Conv", [start, "first"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second", "shift"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["pooled"]),
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    if spatial:
        nodes.append(helper.make_node("Identity", ["pooled"], ["features"]))
    else:
        if flatten:
            constants.append(numpy_helper.from_array(np.array(flatten, np.int64), "rows"))
            nodes.append(helper.make_node("Reshape", ["pooled", "rows"], ["flat"]))
        else:
            nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
        nodes.append(helper.make_node("MatMul", ["flat", "linear"], ["features"]))
    rank = [shape[0], LENGTH, 1, 1] if spatial else [shape[0], LENGTH]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, rank if len(shape) == 4 else None)]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in more_outputs]
    inputs = [helper.make_tensor_value_info(images, kind, shape)]
    if ir < 4:  # weights are inputs, too
        inputs += [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in constants]
    graph = helper.make_graph([*nodes, *extra], "somebody", inputs, outputs, constants)
    graph.doc_string = "/home/somebody/train.py"
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir, producer_name="a test"
    )


def write_foreign(path: Path, **changes: Any) -> Path:
    """`foreign_model` in a file."""
    onnx.save(foreign_model(**changes), path)
    return path


def embed_by_hand(path: Path, pixels: np.ndarray, output: str = "features") -> np.ndarray:
    """Unit rows of an output, image by image in ONNX Runtime.

    Args:
        pixels: what the network takes, normalised.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = [session.run([output], {session.get_inputs()[0].name: one[None]})[0].reshape(1, -1) for one in pixels]
    found: np.ndarray = np.concatenate(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def taken(path: Path, asked: Asked = ASKED, opset: int = 18) -> Wrapped:
    """A file with zoo's input and output."""
    model = read_model(path)
    size, foreign = describe(model, path.name, "0" * 64, asked)
    return wrap(model, size, foreign, opset, path.name)


def with_nodes(model: onnx.ModelProto, old: str, nodes: list[onnx.NodeProto], **constants: Any) -> onnx.ModelProto:
    """The model with nodes in place of the one of this kind, and constants for them."""
    graph = model.graph
    (gone,) = [node for node in graph.node if node.op_type == old]
    place = [*graph.node].index(gone)
    changed = [*graph.node[:place], *nodes, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(changed)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return model


def with_computed_shape(model: onnx.ModelProto, rows: int = 0, **how: Any) -> onnx.ModelProto:
    """The model with the shape of its linear layer's input computed as by `x.view(x.size(0), -1)` in torch.

    Args:
        rows: values per row of another shape that this input has before; 0: it has none.
        how: attributes of the Reshape.
    """
    (flat,) = [node for node in model.graph.node if node.op_type == "Flatten"]
    pooled = flat.input[0]
    nodes = [
        helper.make_node("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([-1], np.int64))),
        helper.make_node("Shape", [pooled], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["images"]),
        helper.make_node("Unsqueeze", ["images", "axis"], ["number"]),
        helper.make_node("Concat", ["number", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", [pooled, "many_rows"], ["short"]),
        helper.make_node("Sigmoid", ["short"], ["between"]),
        helper.make_node("Reshape", ["between" if rows else pooled, "shape"], flat.output, **how),
    ]
    if not rows:
        del nodes[5:7]
    numbers = {"zero": np.array(0, np.int64), "axis": np.array([0], np.int64)}
    if rows:
        numbers["many_rows"] = np.array([-1, rows], np.int64)
    return with_nodes(model, "Flatten", nodes, **numbers)


def with_norm(model: onnx.ModelProto, kind: type = np.float32, **how: Any) -> onnx.ModelProto:
    """The model with a linear layer, as torch writes it with a bias and without, and a norm behind it.

    Args:
        kind: of the numbers of both.
        how: attributes of a Gemm; none: it is a MatMul.
    """
    random = np.random.default_rng(5)
    (linear,) = [node for node in model.graph.node if node.op_type == "MatMul"]
    numbers = {name: random.normal(size=LENGTH) for name in ("gamma", "beta")}
    numbers |= {"weight": random.normal(size=(LENGTH, LENGTH)), "mu": random.normal(size=LENGTH)}
    numbers["var"] = random.uniform(0.5, 2, LENGTH)
    nodes = [
        helper.make_node("Cast", [linear.input[0]], ["wide"], to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))),
        helper.make_node("Gemm" if how else "MatMul", ["wide", "weight"], ["mixed"], **how),
        helper.make_node("BatchNormalization", ["mixed", "gamma", "beta", "mu", "var"], ["normed"], epsilon=0.01),
        helper.make_node("Cast", ["normed"], ["features"], to=TensorProto.FLOAT),
    ]
    return with_nodes(model, "MatMul", nodes, **{name: value.astype(kind) for name, value in numbers.items()})
