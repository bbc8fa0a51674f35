"""What converters in Python refuse in a plain graph (`targets.plain_graph`), and how they read its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.plain_graph import LAYERS, PlainGraph, attributes, called

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float32).max)
Values = Mapping[str, np.ndarray]
REDUCTIONS = ("ReduceMean", "ReduceL2")
POOLS = ("MaxPool", "AveragePool")
# Inputs that say what an operation does, and so have to be constants.
CONSTANT = {
    "Conv": (2,), "Gemm": (2,), "Clip": (1, 2), "Slice": (1, 2, 3, 4), "ReduceMean": (1,), "ReduceL2": (1,),
    "Squeeze": (1,), "BatchNormalization": (1, 2, 3, 4),
}  # fmt: skip


class NotConvertible(ValueError):
    """An operation is used in a way that a converter does not know."""


def check_nodes(plain: PlainGraph, values: Values) -> None:
    """Check what no converter of zoo knows, before one converts something else.

    Raises:
        NotConvertible: an operation is of this kind.
    """
    for node in plain.model.graph.node:
        if why := _why_not(node, plain, values):
            raise NotConvertible(f"{called(node)} {why}")


def _why_not(node: onnx.NodeProto, plain: PlainGraph, values: Values) -> str | None:
    how, kind = attributes(node), node.op_type
    if sum(map(bool, node.output)) != 1:
        return "has more than one result"
    if kind in LAYERS and node.output[0] not in plain.layers:
        return "has no constant weights"
    if kind in LAYERS and plain.layers[node.output[0]].weight.ndim != (4 if kind == "Conv" else 2):
        return "is no convolution of images" if kind == "Conv" else "multiplies by more than one matrix"
    if kind in POOLS and len(how["kernel_shape"]) != 2:
        return "is no pooling of images"
    if kind == "AveragePool" and any(gap != 1 for gap in how.get("dilations", [])):
        return "has dilations"
    if any(name and name not in values for place in CONSTANT.get(kind, ()) for name in node.input[place : place + 1]):
        return "takes from another operation what has to be a constant"
    if kind == "Gemm" and is_scaled(how):
        return "scales or transposes"
    if kind == "Slice" and len(node.input) > 4 and np.any(values[node.input[4]] != 1):
        return "leaves values out"
    if kind == "Squeeze" and len(node.input) < 2:
        return "does not say which axes it removes"
    if kind in REDUCTIONS and how.get("noop_with_empty_axes") and not axes_named(node, how, values):
        return "reduces no axis"
    return None


def is_scaled(how: Mapping[str, Any]) -> bool:
    """Whether a Gemm is more than a linear layer."""
    return how.get("alpha", 1) != 1 or how.get("beta", 1) != 1 or bool(how.get("transA"))


def axes_named(node: onnx.NodeProto, how: Mapping[str, Any], values: Values) -> list[int]:
    """Axes that a reduction names; none: it reduces all."""
    named: list[int] = how.get("axes") or (values[node.input[1]].tolist() if len(node.input) > 1 else [])
    return named


def axes_of(node: onnx.NodeProto, how: Mapping[str, Any], values: Values, rank: int) -> list[int]:
    """Axes of a reduction, 0 … rank - 1; all where none are named."""
    return [axis % rank for axis in (axes_named(node, how, values) or range(rank))]


def limits_of(node: onnx.NodeProto, values: Values) -> tuple[float, float]:
    """Limits of a Clip; those of float32 where it has none."""
    low, high = (values.get(name) for name in [*node.input, "", ""][1:3])
    return float(-LARGEST if low is None else low), float(LARGEST if high is None else high)


def parts_of(node: onnx.NodeProto, values: Values, shape: Sequence[int]) -> dict[int, tuple[int, int]]:
    """What a Slice keeps, by axis: its first index, and how many.

    Args:
        shape: sizes of all axes.
    """
    starts, ends, *rest = (values[name].tolist() for name in node.input[1:])
    axes = [axis % len(shape) for axis in (rest[0] if rest else range(len(starts)))]
    found = {}
    for start, end, axis in zip(starts, ends, axes, strict=True):
        first, last, _ = slice(start, end).indices(shape[axis])
        found[axis] = first, last - first
    return found


def missing_pixels(how: Mapping[str, Any], sizes: Sequence[int]) -> list[int]:
    """Pixels that the last window of a pooling lacks in height and width, behind the border.

    Args:
        how: the pooling's attributes.
        sizes: height and width of its input.
    """
    found = []
    for begun, last, width, end in _last_windows(how, sizes):
        found.append(max(0, begun + width - end) if begun < last else 0)
    return found


def begins_behind(how: Mapping[str, Any], sizes: Sequence[int]) -> bool:
    """Whether a pooling with `ceil_mode` has a window that begins behind the image, which ONNX leaves out.

    Args:
        how, sizes: see `missing_pixels`.
    """
    return any(begun >= last for begun, last, _, _ in _last_windows(how, sizes))


def _last_windows(how: Mapping[str, Any], sizes: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Of the last window in height and width: its begin, the image's end, its width, and the end of the border.

    Source: ONNX operators, MaxPool and AveragePool. Without `ceil_mode` no window leaves the border.
    """
    pads, strides = how.get("pads", [0, 0, 0, 0]), how.get("strides", [1, 1])
    gaps = how.get("dilations", [1, 1])
    widths = [1 + (count - 1) * gap for count, gap in zip(how["kernel_shape"], gaps, strict=True)]
    found = []
    for size, width, stride, before, after in zip(sizes, widths, strides, pads[:2], pads[2:], strict=True):
        end, up = before + size + after, stride - 1 if how.get("ceil_mode") else 0
        begun = (end - width + up) // stride * stride
        found.append((begun, before + size if how.get("ceil_mode") else end, width, end))
    return found
