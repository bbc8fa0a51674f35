"""Tensors of LiteRT's file: channels last, each in float, in int8, or both.

Source of the order of axes: TensorFlow Lite's operations on images take N×H×W×C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from targets.errors import ArtifactFailed
from targets.litert.flatbuffer import FlatWriter
from targets.plain_graph import PlainGraph, constants, shapes_of
from targets.plain_ops import limits_of

if TYPE_CHECKING:
    import onnx

TO_LAST = (0, 2, 3, 1)  # N×C×H×W → N×H×W×C


class Tensors:
    """The tensors of a graph in LiteRT's file, in float or int8, added when an operation needs them."""

    def __init__(self, name: str, plain: PlainGraph) -> None:
        self.name, self.plain, self.graph = name, plain, plain.model.graph
        self.shapes, self.values = shapes_of(plain.model), constants(plain.model.graph)
        self.out = FlatWriter()
        self.floats: dict[str, int] = {}  # numbers of tensors by the graph's names
        self.constants: dict[tuple[str, bool], int] = {}  # and whether they are broadcast to images
        self.wholes: dict[str, tuple[int, float]] = {}  # numbers and steps of those in int8
        self.skipped: set[str] = set()  # outputs of activations that the operation before them computes
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for read in node.input:
                self.readers.setdefault(read, []).append(node)

    def shape(self, name: str) -> list[int]:
        """Shape of a tensor at batch 1, channels first."""
        shape = self.shapes.get(name)
        if not shape or not all(shape):
            raise self.refuse(f"the shape of {name} is not known")
        return shape

    def last(self, name: str) -> list[int]:
        """Shape of a tensor, channels last."""
        shape = self.shape(name)
        return [shape[axis] for axis in TO_LAST] if len(shape) == 4 else shape

    def real(self, name: str, rank: int = 0) -> int:
        """Number of a tensor in float32.

        Args:
            rank: axes of the result of an operation that broadcasts it.
        """
        if name in self.values:
            return self._constant(name, rank)
        if name not in self.floats:
            self.floats[name] = self.out.tensor(name, np.float32, self.last(name))
            self.out.operate("DEQUANTIZE", [self.wholes[name][0]], self.floats[name])
        return self.floats[name]

    def _constant(self, name: str, rank: int) -> int:
        """Number of a constant in float32, channels last where it meets N×C×H×W, even with fewer axes than that."""
        value = self.values[name].astype(np.float32)
        images = value.size > 1 and 4 in (rank, value.ndim)
        if (name, images) not in self.constants:
            if images and value.ndim == 3:
                value = value.transpose(1, 2, 0)
            elif images:
                value = value.reshape([1] * (4 - value.ndim) + [*value.shape]).transpose(TO_LAST)
            self.constants[name, images] = self.out.constant(name, value)
        return self.constants[name, images]

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
        if node.op_type == "Clip" and limits_of(node, self.values) == (0, 6):
            return "RELU6"
        return None

    def refuse(self, why: str) -> ArtifactFailed:
        """The error for a graph that can't be converted."""
        return ArtifactFailed(f"{self.name} can't be converted for LiteRT: {why}")
