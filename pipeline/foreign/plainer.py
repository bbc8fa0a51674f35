"""A foreign graph in the form that all converters read, with the same results.

Exporters write `x.view(x.size(0), -1)` as four operations that compute the shape of a `Reshape`. That shape is constant
but for the number of images, so it becomes a constant here. Constants become initializers, which is where converters
look for them. And what simplifiers leave, a norm behind a linear layer, becomes part of that layer: a converter that
does so itself changes the weights after they were quantised. Names that this adds begin with `plain_`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.foreign.original import open_session
from pipeline.foreign.reading import all_nodes, new_value
from targets.plain_graph import attributes, constants

if TYPE_CHECKING:
    import onnx

COUNTS = (2, 3)  # images per call, by which the number of images in a shape is found
EPSILON = 1e-5  # of BatchNormalization, by default


def constant_shapes(model: onnx.ModelProto, image: np.ndarray, name: str) -> onnx.ModelProto:
    """The model with constant shapes of `Reshape` where they depend on the number of images alone, in place.

    Args:
        model: takes any number of images.
        image: one, as the graph takes it, with the axis of images first.
        name: of the file, for errors.
    """
    from onnx import numpy_helper

    known = constants(model.graph)
    computed = [node for node in model.graph.node if node.op_type == "Reshape" and node.input[1] not in known]
    for node, found in zip(computed, _shapes(model, [one.output[0] for one in computed], image, name), strict=True):
        if (plain := _constant(found)) is None:
            continue
        node.input[1] = new_value(model, "plain_shape")
        model.graph.initializer.append(numpy_helper.from_array(plain, node.input[1]))
    return model


def _shapes(model: onnx.ModelProto, asked: list[str], image: np.ndarray, name: str) -> list[list[np.ndarray]]:
    """Shapes of tensors, each at all of `COUNTS`; of none if the graph can't be run like this."""
    import onnx
    from onnx import TensorProto, helper

    if not asked:
        return []
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    del opened.graph.output[:]
    for tensor in asked:
        shape = new_value(opened, "plain_asked")
        opened.graph.node.append(helper.make_node("Shape", [tensor], [shape]))
        opened.graph.output.append(helper.make_tensor_value_info(shape, TensorProto.INT64, None))
    try:
        session = open_session(opened, name)
        runs = [session.run(None, {session.get_inputs()[0].name: np.repeat(image, n, axis=0)}) for n in COUNTS]
    except Exception:  # noqa: BLE001 - ONNX Runtime's errors have no common class; the graph is checked later
        return [[] for _ in asked]
    return [list(found) for found in zip(*runs, strict=True)]


def _constant(found: list[np.ndarray]) -> np.ndarray | None:
    """The shape for any number of images; None if more than its first axis depends on that number."""
    if len(found) != len(COUNTS) or any(not shape.all() for shape in found):  # a 0 would mean a copied axis
        return None
    one, other = found
    if np.array_equal(one, other):
        return one
    follows = (int(one[0]), int(other[0])) == COUNTS and np.array_equal(one[1:], other[1:])
    return np.array([-1, *one[1:]], np.int64) if follows else None


def lift_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with initializers in place of `Constant` nodes, in place. Those of text and sparse ones remain."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    for node in [one for one in graph.node if one.op_type == "Constant"]:
        ((kind, value),) = attributes(node).items()
        if isinstance(value, TensorProto):
            tensor = TensorProto()
            tensor.CopyFrom(value)
        elif kind in ("value_float", "value_floats"):
            tensor = numpy_helper.from_array(np.array(value, np.float32))
        elif kind in ("value_int", "value_ints"):
            tensor = numpy_helper.from_array(np.array(value, np.int64))
        else:
            continue
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    return model


def fold_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each norm behind a linear layer of constant weights as part of that layer, in place.

    Such a layer is a `Gemm` afterwards, also where it was a `MatMul` of rows N×C.
    """
    from onnx import numpy_helper

    graph = model.graph
    known = {name: value for name, value in constants(graph).items() if value.dtype == np.float32}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in all_nodes(model):
        for read in node.input:
            readers.setdefault(read, []).append(node)
    ends = {one.name for one in graph.output}
    flat = {one.name for one in (*graph.value_info, *graph.output) if len(one.type.tensor_type.shape.dim) == 2}
    for node in [*graph.node]:
        result = node.output[0]
        norm = readers[result][0] if len(readers.get(result, [])) == 1 and result not in ends else None
        if norm is None or norm.op_type != "BatchNormalization" or len(norm.output) != 1 or norm not in graph.node:
            continue
        given = {name for name in (*node.input[1:], *norm.input[1:]) if name}
        if not _is_linear(node, result in flat) or not given <= known.keys() or known[node.input[1]].ndim != 2:
            continue
        weight, bias = _folded(node, norm, known)
        del node.input[1:]
        for what, value in (("weight", weight), ("bias", bias)):
            node.input.append(new_value(model, f"plain_{what}"))
            graph.initializer.append(numpy_helper.from_array(value, node.input[-1]))
        node.op_type, node.output[0] = "Gemm", norm.output[0]
        graph.node.remove(norm)
        for value in [one for one in graph.value_info if one.name == result]:
            graph.value_info.remove(value)
    read = ends | {name for node in all_nodes(model) for name in node.input}
    for tensor in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(tensor)
    return model


def _is_linear(node: onnx.NodeProto, flat: bool) -> bool:
    """Whether a node multiplies rows by a matrix, without factors.

    Args:
        flat: whether its result is known to be N×D.
    """
    if node.op_type == "MatMul":
        return flat
    how = attributes(node) if node.op_type == "Gemm" else {"transA": 1}
    return how.get("alpha", 1.0) == 1 and how.get("beta", 1.0) == 1 and not how.get("transA", 0)


def _folded(node: onnx.NodeProto, norm: onnx.NodeProto, known: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a linear layer and the norm behind it: γ · (Wx + b − μ) / √(σ² + ε) + β."""
    scale, shift, mean, variance = (known[one].astype(np.float64) for one in norm.input[1:5])
    factor = scale / np.sqrt(variance + attributes(norm).get("epsilon", EPSILON))
    weight = known[node.input[1]].astype(np.float64)
    bias = known[node.input[2]].astype(np.float64) if len(node.input) > 2 and node.input[2] else 0.0
    weight = weight * (factor[:, None] if attributes(node).get("transB", 0) else factor)
    return weight.astype(np.float32), ((bias - mean) * factor + shift).astype(np.float32)
