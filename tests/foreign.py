"""Small networks as somebody else would export them, with weights drawn from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH, LENGTH = 32, 24, 16
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISED = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
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
