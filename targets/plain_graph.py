"""A graph without what some converters can't read: its uint8 input, fp16 and Q/DQ, which are returned as facts.

The input becomes float32 N×3×H×W with the pixel values 0 … 255, which `planes` makes from uint8 images without any
loss. Normalisation stays in the graph. Needs the package `onnx`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import ArtifactFailed, first_line

if TYPE_CHECKING:
    import onnx

NHWC_TO_NCHW = [0, 3, 1, 2]
LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Layer:
    """A layer with constant weights.

    Attributes:
        weight: float32, outputs first: O×I×h×w of a convolution, O×I of a linear layer.
        scales: steps of the weights, float32 O; None in a float layer. The weights are whole multiples, −127 … 127.
        input_scale: step of its input, whose zero point is 0; None in a float layer.
    """

    weight: np.ndarray
    scales: np.ndarray | None = None
    input_scale: float | None = None


@dataclass
class PlainGraph:
    """What `make_plain` found.

    Attributes:
        model: float32 throughout; without Q/DQ.
        half: whether the weights were fp16.
        layers: those with constant weights, by the name of their output, in the graph's order.
        steps: of activations that passed Q/DQ, by the name of the tensor; their zero points are 0.
    """

    model: onnx.ModelProto
    half: bool = False
    layers: dict[str, Layer] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)


def planes(images: np.ndarray) -> np.ndarray:
    """uint8 N×H×W×3 → float32 N×3×H×W, contiguous, with the same values."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def make_plain(graph: Path) -> PlainGraph:
    """Read a graph of the stages `export` or `calibrate`, and separate what is not plain.

    Raises:
        ArtifactFailed: it is not such a graph.
    """
    import onnx

    try:
        model = onnx.load(graph)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf's, whichever protobuf onnx uses
        raise ArtifactFailed(f"{graph.name} is not an ONNX graph: {first_line(error)}") from None
    found = PlainGraph(model)
    _take_planes(graph.name, model.graph)
    _drop_quantisation(graph.name, found)
    _drop_half(found)
    _drop_defaults(model.graph)
    _drop_unread(model.graph)
    _spell_out_pads(graph.name, model)
    return found


def called(node: onnx.NodeProto) -> str:
    """What a node is called in an error."""
    return f"{node.op_type} {node.name or node.output[0]}"


def shapes_of(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of all tensors at batch 1, channels first; a size that is not known is 0."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 1
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError:  # an operation that ONNX does not define
        inferred = model.graph
    return {
        one.name: [size.dim_value for size in one.type.tensor_type.shape.dim]
        for one in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes of a node, as Python's values."""
    import onnx

    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def _take_planes(name: str, graph: onnx.GraphProto) -> None:
    """Replace input, Cast and Transpose by a float input N×3×H×W."""
    import onnx

    readers = {node.input[0]: node for node in graph.node if node.input}
    cast = readers.get(graph.input[0].name) if len(graph.input) == 1 else None
    turn = readers.get(cast.output[0]) if cast is not None else None
    right = cast is not None and turn is not None and (cast.op_type, turn.op_type) == ("Cast", "Transpose")
    if not right or list(attributes(turn)["perm"]) != NHWC_TO_NCHW:  # type: ignore[arg-type]
        raise ArtifactFailed(
            f"{name} does not begin with a Cast and a Transpose of uint8 N×H×W×3. Export it with zoo, or with the same "
            "input."
        )
    assert cast is not None
    assert turn is not None
    sizes = graph.input[0].type.tensor_type.shape.dim
    shape = ["batch", 3, *(size.dim_value or size.dim_param for size in (sizes[1], sizes[2]))]
    plane = onnx.helper.make_tensor_value_info(turn.output[0], onnx.TensorProto.FLOAT, shape)
    del graph.input[:]
    graph.input.append(plane)
    graph.node.remove(cast)
    graph.node.remove(turn)


def _rename(graph: onnx.GraphProto, direct: dict[str, str]) -> None:
    """Let nodes read other tensors: old name → new one."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            while name in direct:
                name = direct[name]
            node.input[place] = name


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Constants of a graph, by name."""
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _drop_quantisation(name: str, found: PlainGraph) -> None:
    """Replace quantised weights by their float values and connect what Q/DQ separate; fill `found.layers`."""
    from onnx import numpy_helper

    graph = found.model.graph
    values = constants(graph)
    steps: dict[str, float] = {}  # of an activation that passed Q/DQ
    scales: dict[str, np.ndarray] = {}  # of weights, by the name of the float values
    direct: dict[str, str] = {}
    gone = []
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        gone.append(node)
        zero = values[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.int8)
        if np.any(zero) or zero.dtype != np.int8:
            raise ArtifactFailed(f"{name} has zero points; this runtime takes symmetric int8 only")
        scale = values[node.input[1]].astype(np.float32).reshape(-1)
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            whole = np.maximum(values[node.input[0]], -127).astype(np.float32)  # some kernels negate it in int8
            axis = attributes(node).get("axis", 1) if scale.size > 1 else 0
            real = whole * scale.reshape([-1 if at == axis else 1 for at in range(whole.ndim)])
            values[node.output[0]], scales[node.output[0]] = real, scale
            graph.initializer.append(numpy_helper.from_array(real, node.output[0]))
        else:
            direct[node.output[0]] = node.input[0]
            steps[node.output[0]] = float(scale[0])
            if node.op_type == "QuantizeLinear":
                found.steps[node.input[0]] = float(scale[0])
    for node in graph.node:
        if node.op_type in LAYERS and node.input[1] in values:
            weight = values[node.input[1]].astype(np.float32)
            outputs_last = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes(node).get("transB"))
            weight = np.ascontiguousarray(weight.T if outputs_last else weight)
            quantised = node.input[0] in steps and node.input[1] in scales
            step = np.broadcast_to(scales[node.input[1]], (len(weight),)) if quantised else None
            found.layers[node.output[0]] = Layer(weight, step, steps[node.input[0]] if quantised else None)
    _rename(graph, direct)
    for node in gone:
        graph.node.remove(node)


def _drop_half(found: PlainGraph) -> None:
    """Turn fp16 constants into float32 ones, and remove casts between the two."""
    from onnx import TensorProto, numpy_helper

    graph = found.model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            found.half = True
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    casts = [node for node in graph.node if node.op_type == "Cast"]
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    gone = [node for node in casts if found.half and attributes(node)["to"] in floats]
    outputs = {output.name for output in graph.output}
    for node in gone:
        if node.output[0] in outputs:  # the output keeps its name; its producer takes that name
            made = next(one for one in graph.node if node.input[0] in one.output)
            old, new = node.input[0], node.output[0]
            made.output[list(made.output).index(old)] = new
            _rename(graph, {old: new})
            node.input[0] = new
    _rename(graph, {node.output[0]: node.input[0] for node in gone if node.output[0] not in outputs})
    for node in gone:
        graph.node.remove(node)


def names_in(graph: onnx.GraphProto) -> set[str]:
    """Names of all values of a graph, without those of graphs inside its nodes."""
    ends = {one.name for one in (*graph.input, *graph.output, *graph.initializer)}
    return ends | {name for node in graph.node for name in (*node.input, *node.output)}


def new_name(start: str, taken: Collection[str]) -> str:
    """A name that is not taken: `start` with a number."""
    return next(name for number in count() if (name := f"{start}_{number}") not in taken)


def _drop_defaults(graph: onnx.GraphProto) -> None:
    """Remove inputs that say what holds without them: whole axes and steps of 1 of a Slice, empty names at the end."""
    values = constants(graph)
    for node in graph.node:
        if node.op_type == "Slice" and len(node.input) == 5 and np.all(values.get(node.input[4], 0) == 1):
            del node.input[4]
        if node.op_type == "Slice" and len(node.input) < 5 and {*filter(None, node.input[1:])} <= values.keys():
            _drop_kept_axes(graph, node, [values[name] for name in node.input[1:] if name])
        while node.input and not node.input[-1]:
            del node.input[-1]


def _drop_kept_axes(graph: onnx.GraphProto, node: onnx.NodeProto, given: list[np.ndarray]) -> None:
    """Let a Slice name only axes of which it takes a part; exporters name the axis of images, too.

    Args:
        given: starts, ends, and axes unless they are the first ones.
    """
    from onnx import numpy_helper

    starts, ends, *axes = given
    parts = np.array([starts, ends, axes[0] if axes else np.arange(len(starts))], np.int64)
    part = (starts != 0) | (ends < np.iinfo(np.int32).max)
    if part.all() or not part.any():
        return
    del node.input[1:]
    for what, numbers in zip(("starts", "ends", "axes"), parts[:, part], strict=True):
        node.input.append(new_name(f"plain_{what}", names_in(graph)))
        graph.initializer.append(numpy_helper.from_array(numbers, node.input[-1]))


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove constants that no node reads, and shapes and types of tensors, which are no longer true."""
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]


def _spell_out_pads(name: str, model: onnx.ModelProto) -> None:
    """Replace `auto_pad`, which other frameworks write, by the pads that it stands for.

    Source: ONNX operators, Conv: SAME_UPPER and SAME_LOWER give ceil(size / stride) results, with the odd pixel of the
    border at the end or at the beginning.
    """
    import onnx

    automatic = [node for node in model.graph.node if attributes(node).get("auto_pad", b"NOTSET") != b"NOTSET"]
    if not automatic:
        return
    shapes = shapes_of(model)
    kernels = {tensor.name: list(tensor.dims)[2:] for tensor in model.graph.initializer}
    for node in automatic:
        how = attributes(node)
        kernel = how.get("kernel_shape") or (kernels.get(node.input[1]) if len(node.input) > 1 else None)
        sizes = shapes.get(node.input[0], [])[2:]
        if not kernel or not sizes or not all(sizes):
            raise ArtifactFailed(f"{name}: the border of {called(node)} depends on shapes that are not known")
        before, after = [], []
        ones = [1] * len(sizes)
        given = sizes, kernel, how.get("strides", ones), how.get("dilations", ones)
        for size, width, stride, gap in zip(*given, strict=True):
            border = max(0, (-(-size // stride) - 1) * stride + (width - 1) * gap + 1 - size)
            border = 0 if how["auto_pad"] == b"VALID" else border
            less, more = border // 2, border - border // 2
            before.append(more if how["auto_pad"] == b"SAME_LOWER" else less)
            after.append(less if how["auto_pad"] == b"SAME_LOWER" else more)
        kept = [one for one in node.attribute if one.name not in ("auto_pad", "pads")]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", [*before, *after])])
