"""What converters in Python refuse in a plain graph (`targets.plain_graph`), and how they read its operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.plain_graph import LAYERS, PlainGraph, attributes, called

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float32).max)
Values = Mapping[str, np.ndarray]
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
    if kind in LAYERS and node.output[0] not in plain.layers:
        return "has no constant weights"
    if any(name and name not in values for place in CONSTANT.get(kind, ()) for name in node.input[place : place + 1]):
        return "takes from another operation what has to be a constant"
    if kind == "Gemm" and (how.get("alpha", 1) != 1 or how.get("beta", 1) != 1 or how.get("transA")):
        return "scales or transposes"
    if kind == "Slice" and len(node.input) > 4 and np.any(values[node.input[4]] != 1):
        return "leaves values out"
    return None


def axes_of(node: onnx.NodeProto, how: Mapping[str, Any], values: Values, rank: int) -> list[int]:
    """Axes of a reduction, 0 … rank - 1; all where none are named."""
    named = how.get("axes") or (values[node.input[1]].tolist() if len(node.input) > 1 and node.input[1] else None)
    return [axis % rank for axis in (named or range(rank))]


def limits_of(node: onnx.NodeProto, values: Values) -> tuple[float, float]:
    """Limits of a Clip; those of float32 where it has none."""
    low, high = (values.get(name) for name in [*node.input, "", ""][1:3])
    return float(-LARGEST if low is None else low), float(LARGEST if high is None else high)


def parts_of(node: onnx.NodeProto, values: Values, shape: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """What a Slice keeps, by axis: its first index, and how many.

    Args:
        shape: sizes by axis, at least of those that are sliced.
    """
    starts, ends, *rest = (values[name].tolist() for name in node.input[1:])
    axes = [axis % len(shape) for axis in (rest[0] if rest else range(len(starts)))]
    found = {}
    for start, end, axis in zip(starts, ends, axes, strict=True):
        first, last, _ = slice(start, end).indices(shape[axis])
        found[axis] = first, last - first
    return found
