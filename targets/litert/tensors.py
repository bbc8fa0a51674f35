"""Tensors of LiteRT's file: channels last, each in float, in int8, or both.

Source of the order of axes: TensorFlow Lite's operations on images take N×H×W×C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from targets.errors import ArtifactFailed
from targets.litert.flatbuffer import FlatWriter
from targets.plain_graph import PlainGraph, constants

if TYPE_CHECKING:
    import onnx

TO_LAST = (0, 2, 3, 1)  # N×C×H×W → N×H×W×C
LARGEST = float(np.finfo(np.float32).max)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of all tensors at batch 1, channels first."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        one.name: [size.dim_value for size in one.type.tensor_type.shape.dim]
        for one in (*inferred.input, *inferred.value_info, *inferred.output)
    }


class Tensors:
    """The tensors of a graph in LiteRT's file, in float or int8, added when an operation needs them."""

    def __init__(self, name: str, plain: PlainGraph) -> None:
        self.name, self.plain, self.graph = name, plain, plain.model.graph
        self.shapes, self.values = _shapes(plain.model), constants(plain.model.graph)
        self.out = FlatWriter()
        self.floats: dict[str, int] = {}  # numbers of tensors by the graph's names
        self.wholes: dict[str, tuple[int, float]] = {}  # numbers and steps of those in int8
        self.skipped: set[str] = set()  # outputs of activations that the operation before them computes
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for read in node.input:
                self.readers.setdefault(read, []).append(node)

    def last(self, name: str) -> list[int]:
        """Shape of a tensor, channels last."""
        shape = self.shapes.get(name)
        if not shape or not all(shape):
            raise self.refuse(f"the shape of {name} is not known")
        return [shape[axis] for axis in TO_LAST] if len(shape) == 4 else shape

    def real(self, name: str) -> int:
        """Number of a tensor in float32."""
        if name not in self.floats and name in self.values:
            value = self.values[name].astype(np.float32)
            if value.ndim in (3, 4) and value.size > 1:
                value = value.transpose(TO_LAST if value.ndim == 4 else (1, 2, 0))
            self.floats[name] = self.out.constant(name, value)
        if name not in self.floats:
            self.floats[name] = self.out.tensor(name, np.float32, self.last(name))
            self.out.operate("DEQUANTIZE", [self.wholes[name][0]], self.floats[name])
        return self.floats[name]

    def whole(self, name: str) -> tuple[int, float]:
        """Number and step of a tensor in int8."""
        if name not in self.wholes:
            step = self.plain.steps[name]
            number = self.new_whole(name, step)
            self.out.operate("QUANTIZE", [self.floats[name]], number)
        return self.wholes[name]

    def new_real(self, name: str) -> int:
        """A float32 tensor for a result."""
        self.floats[name] = self.out.tensor(name, np.float32, self.last(name))
        return self.floats[name]

    def new_whole(self, name: str, step: float, shape: Sequence[int] | None = None) -> int:
        """An int8 tensor for a result."""
        number = self.out.tensor(f"{name}_int8", np.int8, shape or self.last(name), [step])
        self.wholes[name] = number, step
        return number

    def is_whole(self, *names: str) -> bool:
        """Whether all of these can be read in int8."""
        return all(name in self.wholes or name in self.plain.steps for name in names)

    def fused(self, node: onnx.NodeProto) -> tuple[str, str, float | None]:
        """The result of a node with the activation that alone reads it; that activation; the step of the result."""
        result = node.output[0]
        readers = self.readers.get(result, [])
        kind = self._rectifier(readers[0]) if len(readers) == 1 else None
        if kind is None:
            return result, "NONE", self.plain.steps.get(result)
        after = readers[0].output[0]
        self.skipped.add(after)
        return after, kind, self.plain.steps.get(after, self.plain.steps.get(result))

    def _rectifier(self, node: onnx.NodeProto) -> str | None:
        if node.op_type == "Relu":
            return "RELU"
        if node.op_type == "Clip" and self.limits(node) == (0, 6):
            return "RELU6"
        return None

    def limits(self, node: onnx.NodeProto) -> tuple[float, float]:
        """Limits of a Clip."""
        given = [*node.input, "", ""][1:3]
        low, high = (self.values.get(name) for name in given)
        return float(-LARGEST if low is None else low), float(LARGEST if high is None else high)

    def refuse(self, why: str) -> ArtifactFailed:
        """The error for a graph that can't be converted."""
        return ArtifactFailed(f"{self.name} can't be converted for LiteRT: {why}")
