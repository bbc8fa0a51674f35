"""The release's graph behind another input. Its weights and its own preprocessing stay as they are.

A release's graph takes uint8 N×H×W×3 RGB, and begins with a cast to float. A view takes the place of this cast: it
brings what the consumer feeds to the same floats, 0 … 255 in RGB. So the graph goes on with the operations that were
exported, measured and gated. A transposition to N×3×H×W right behind the cast, as every exported graph has, is left
out where the consumer gives that layout.

Only these operations are added: Cast, Gather (BGR), Mul, Add, Transpose. TensorRT takes uint8 only straight into a
cast, so that comes first.

Sources: onnx, "Python API: helper, checker, shape_inference"; ONNX operators, opset 13 and later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import first_line
from zoo.documents.graph_metadata import PREFIX
from zoo.errors import ExportError
from zoo.views.view import View

if TYPE_CHECKING:
    import onnx

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
BATCH = "batch"
OPSET = 13  # the oldest whose operators are meant here
ADDED = "view."  # names of what is added begin so


def read_graph(path: Path) -> onnx.ModelProto:
    """An ONNX graph with one input, one output and all weights inside.

    Raises:
        ExportError: it is not one.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001 - protobuf's errors, of a library that only onnx knows
        raise ExportError(f"{path} is not an ONNX graph: {first_line(error)}") from None
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [one.name for one in graph.input if one.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ExportError(
            f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs. A view needs a graph with one of each."
        )
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise ExportError(f"{path} keeps its weights in other files. A view needs a graph that holds them itself.")
    default = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if default < OPSET:
        raise ExportError(f"{path} has opset {default}. A view needs {OPSET} or later.")
    return model


def input_size(model: onnx.ModelProto) -> tuple[int, int]:
    """Height and width of a release's graph.

    Raises:
        ExportError: its input is not uint8 N×H×W×3 with a free N.
    """
    from onnx import TensorProto

    (entry,) = _inputs(model)
    kind = entry.type.tensor_type
    dims = [one.dim_value for one in kind.shape.dim]  # 0: free
    if kind.elem_type != TensorProto.UINT8 or len(dims) != 4 or dims[0] or not all(dims[1:]) or dims[3] != 3:
        shape = "×".join(str(one or "N") for one in dims) or "one number"
        raise ExportError(
            f"its input {entry.name} is {TensorProto.DataType.Name(kind.elem_type).lower()} {shape}; a release's graph "
            "takes uint8 N×H×W×3 with any N. Build the release again."
        )
    return dims[1], dims[2]


def output_dimension(model: onnx.ModelProto) -> int:
    """D, components of an embedding.

    Raises:
        ExportError: its output is not float32 N×D with a fixed D.
    """
    from onnx import TensorProto

    entry = model.graph.output[0]
    dims = [one.dim_value for one in entry.type.tensor_type.shape.dim]
    if entry.type.tensor_type.elem_type != TensorProto.FLOAT or len(dims) != 2 or not dims[1]:
        raise ExportError(f"its output {entry.name} is not float32 N×D. Build the release again.")
    return int(dims[1])


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in weights]


def wrap(model: onnx.ModelProto, view: View, facts: Mapping[str, str]) -> bytes:
    """A graph that takes what `view` says and otherwise is `model`, serialised.

    Args:
        model: of `read_graph`; it is changed.
        facts: written to its metadata, in place of those of the release's graph.

    Raises:
        ExportError: it does not begin with a cast of its pixels, or onnx refuses the result.
    """
    import onnx

    graph = model.graph
    size, (entry,) = input_size(model), _inputs(model)
    if graph.output[0].name != view.output:
        _free(graph, view.output)
        _rename(graph, graph.output[0].name, view.output)
    _replace_entry(graph, entry.name, view)
    for one in [*graph.input]:
        graph.input.remove(one)
    kind = onnx.TensorProto.UINT8 if view.dtype == "uint8" else onnx.TensorProto.FLOAT
    shape = [BATCH if one is None else one for one in view.shape(*size)]
    graph.input.append(onnx.helper.make_tensor_value_info(view.input, kind, shape))
    _set_batch(graph.output[0].type.tensor_type.shape.dim[0], view)
    del graph.value_info[:]  # shapes in between are inferred again
    for one in [one for one in model.metadata_props if one.key.startswith(f"{PREFIX}.")]:
        model.metadata_props.remove(one)
    for key, value in facts.items():
        model.metadata_props.add(key=f"{PREFIX}.{key}", value=value)
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx refuses the view: {first_line(error)}") from None
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _set_batch(dim: onnx.TensorShapeProto.Dimension, view: View) -> None:
    dim.Clear()
    if view.batch:
        dim.dim_value = view.batch
    else:
        dim.dim_param = BATCH


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of branches and loops too, which read values of the graph around them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give a value another name, which nothing else has."""
    for node in _nodes(graph):
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for one in (*graph.output, *graph.initializer):
        one.name = new if one.name == old else one.name


def _names(graph: onnx.GraphProto) -> set[str]:
    """Names of all values but the graph's inputs."""
    return {name for node in _nodes(graph) for name in node.output} | {one.name for one in graph.initializer}


def _free(graph: onnx.GraphProto, name: str) -> None:
    """Make a name free: a value inside the graph that has it gets another one. A foreign network's own input and output
    are such values, and mostly called `input` and `output`.
    """
    taken = _names(graph)
    if name in taken:
        other = f"{ADDED}{name}"
        while other in taken:
            other += "_"
        _rename(graph, name, other)


def _replace_entry(graph: onnx.GraphProto, pixels: str, view: View) -> None:
    """Put the view's operations in place of the cast of `pixels`, the graph's input."""
    from onnx import TensorProto

    readers = [node for node in graph.node if pixels in node.input]
    casts = [one for one in readers if one.op_type == "Cast" and one.attribute[0].i == TensorProto.FLOAT]
    if len(casts) != 1 or len(readers) != 1:
        raise ExportError(f"the graph does not begin with a cast of {pixels} to float. Build the release again.")
    (cast,) = casts
    if view.input == view.output:
        raise ExportError(f"input and output of a view can't both be called {view.input}.")
    _free(graph, view.input)
    behind = [node for node in graph.node if cast.output[0] in node.input]
    turn = behind[0] if len(behind) == 1 and _turns_to_nchw(behind[0]) else None
    graph.node.remove(cast)
    if view.layout == "nchw" and turn is not None:
        graph.node.remove(turn)
        added = _entry(graph, view, turn.output[0], "nchw")
    else:
        added = _entry(graph, view, cast.output[0], "nhwc")
    kept = [*graph.node]
    del graph.node[:]
    graph.node.extend([*added, *kept])


def _turns_to_nchw(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and [*node.attribute[0].ints] == TO_NCHW


def _entry(graph: onnx.GraphProto, view: View, end: str, layout: str) -> list[onnx.NodeProto]:
    """Nodes from the view's input to the value `end`, floats 0 … 255 in RGB and in a layout."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    axis = 1 if view.layout == "nchw" else 3

    def add(kind: str, *constants: np.ndarray, **attributes: Any) -> None:
        name = f"{ADDED}{kind.lower()}"
        names = [f"{name}.{place}" for place in range(len(constants))]
        graph.initializer.extend(numpy_helper.from_array(*pair) for pair in zip(constants, names, strict=True))
        before = nodes[-1].output[0] if nodes else view.input
        nodes.append(helper.make_node(kind, [before, *names], [name], name, **attributes))

    def by_channel(values: tuple[float, float, float]) -> np.ndarray:
        return np.array(values, np.float32).reshape([3 if place == axis else 1 for place in range(4)])

    if view.dtype == "uint8":
        add("Cast", to=TensorProto.FLOAT)
    if view.colors == "bgr":
        add("Gather", np.array([2, 1, 0], np.int64), axis=axis)
    if view.to_pixels:
        factors, summands = view.to_pixels
        add("Mul", by_channel(factors))
        if any(summands):
            add("Add", by_channel(summands))
    if view.layout != layout:
        add("Transpose", perm=TO_NHWC)
    if not nodes:
        add("Identity")
    nodes[-1].output[0] = end
    return nodes
