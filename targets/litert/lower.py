"""Operations of a graph as LiteRT's: channels last, activations fused, and int8 where the graph has Q/DQ.

An operation computes in int8 if the graph quantises all that it reads and its result; otherwise in float, with a
conversion where needed. A result that only a ReLU reads is quantised once, after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.litert.layers import Layers, pairs_of
from targets.litert.tensors import TO_LAST
from targets.plain_graph import attributes, called, make_plain
from targets.plain_ops import LARGEST, NotConvertible, axes_of, check_nodes, limits_of, missing_pixels, parts_of

if TYPE_CHECKING:
    import onnx

AXES = {0: 0, 1: 3, 2: 1, 3: 2}  # of N×C×H×W in N×H×W×C


def convert(graph: Path) -> bytes:
    """A graph of the stages `export` or `calibrate` as a `.tflite` file.

    Raises:
        ArtifactFailed: it has an operation that is not known here.
    """
    lowering = Lowering(graph.name, make_plain(graph))
    try:
        return lowering.run()
    except NotConvertible as error:
        raise lowering.refuse(str(error)) from None


class Lowering(Layers):
    """Writes a graph's operations, each by a method that is named after the operation."""

    def run(self) -> bytes:
        """The file."""
        known = {name.removeprefix("on_") for name in dir(self) if name.startswith("on_")}
        if unknown := sorted({node.op_type for node in self.graph.node} - known):
            raise self.refuse(f"zoo does not know its {', '.join(unknown)}")
        check_nodes(self.plain, self.values)
        plane, result = self.graph.input[0].name, self.graph.output[0].name
        _, channels, height, width = self.shape(plane)
        shape = (1, height, width, channels)
        source = self.out.tensor("images", np.uint8, shape)
        self.floats[plane] = self.out.tensor(plane, np.float32, shape)
        self.out.operate("CAST", [source], self.floats[plane], "Cast", inDataType=3, outDataType=0)
        for node in self.graph.node:
            if node.output[0] not in self.skipped:
                getattr(self, f"on_{node.op_type}")(node, attributes(node))
        return self.out.finish(source, self.real(result))

    # Pooling and means

    def on_MaxPool(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        self._pool("MAX_POOL_2D", node, how)

    def on_AveragePool(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        if np.any(pairs_of(how)):
            raise self.refuse(f"{called(node)} averages over a border")
        self._pool("AVERAGE_POOL_2D", node, how)

    def _pool(self, code: str, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        """A pooling: in int8 its result has the steps of its input."""
        name, kernel, strides = node.input[0], how["kernel_shape"], how.get("strides", [1, 1])
        if how.get("dilations", [1, 1]) != [1, 1]:
            raise self.refuse(f"{called(node)} has dilations")
        pads, step = pairs_of(how), None
        if self.is_whole(name):
            source, step = self.whole(name)
        else:
            source = self.real(name)
        rests = missing_pixels(how, self.last(name)[1:3])
        # TensorFlow's border, all at the end
        same = any(rests) and not np.any(pads) and kernel == strides and max(rests) < 2
        if any(rests) and not same:
            if code != "MAX_POOL_2D" or any(s > k for s, k in zip(strides, kernel, strict=True)):
                raise self.refuse(f"{called(node)} leaves the image")
            (top, bottom), (left, right) = pads
            pads = (top, bottom + rests[0]), (left, right + rests[1])
        least = -LARGEST if step is None else -128
        source = self.padded(name, source, pads, step, least if code == "MAX_POOL_2D" else None)
        result = node.output[0]
        output = self.new_real(result) if step is None else self.new_whole(result, step)
        self.out.operate(
            code, [source], output, "Pool2D", padding=self.out.padding(same), strideH=strides[0],
            strideW=strides[1], filterHeight=kernel[0], filterWidth=kernel[1],
        )  # fmt: skip

    def on_GlobalAveragePool(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._mean(node, [*range(2, len(self.shape(node.input[0])))], True)

    def on_ReduceMean(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        self._mean(node, self._axes(node, how), bool(how.get("keepdims", 1)))

    def _axes(self, node: onnx.NodeProto, how: dict[str, Any]) -> list[int]:
        return axes_of(node, how, self.values, len(self.shape(node.input[0])))

    def _numbers(self, node: onnx.NodeProto, axes: Sequence[int], keep: bool) -> int:
        """The constant that names the axes of a reduction."""
        images = len(self.shape(node.input[0])) == 4
        left = [axis for axis in TO_LAST if axis not in axes]
        if images and not keep and left != sorted(left):
            raise self.refuse(f"{called(node)} leaves axes that have another order here")
        at = [AXES[axis] for axis in axes] if images else axes
        return self.out.constant(f"{node.output[0]}_axes", np.array(at, np.int32))

    def _mean(self, node: onnx.NodeProto, axes: Sequence[int], keep: bool) -> None:
        name, result = node.input[0], node.output[0]
        numbers = self._numbers(node, axes, keep)
        if self.is_whole(name) and result in self.plain.steps:
            source, output = self.whole(name)[0], self.new_whole(result, self.plain.steps[result])
        else:
            source, output = self.real(name), self.new_real(result)
        self.out.operate("MEAN", [source, numbers], output, "Reducer", keepDims=keep)

    def on_ReduceL2(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        name, result = node.input[0], node.output[0]
        source, axes, keep = self.real(name), self._axes(node, how), bool(how.get("keepdims", 1))
        squares = self.out.tensor(f"{result}_squares", np.float32, self.last(name))
        self.out.operate("MUL", [source, source], squares, "Mul")
        summed = self.out.tensor(f"{result}_sum", np.float32, self.last(result))
        numbers = self._numbers(node, axes, keep)
        self.out.operate("SUM", [squares, numbers], summed, "Reducer", keepDims=keep)
        self.out.operate("SQRT", [summed], self.new_real(result))

    # Element by element

    def on_Add(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._pairwise("ADD", "Add", node, True)

    def on_Mul(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._pairwise("MUL", "Mul", node, True)

    def on_Sub(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._pairwise("SUB", "Sub", node, False)

    def on_Div(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._pairwise("DIV", "Div", node, False)

    def _pairwise(self, code: str, kind: str, node: onnx.NodeProto, in_int8: bool) -> None:
        result, act, step = self.fused(node)
        if in_int8 and step is not None and self.is_whole(*node.input):
            inputs = [self.whole(name)[0] for name in node.input]
            output = self.new_whole(result, step)
        else:
            rank = len(self.shape(result))
            if any(len(self.shape(name)) != rank for name in node.input if name not in self.values):
                raise self.refuse(f"{called(node)} combines tensors with different numbers of axes")
            inputs = [self.real(name, rank) for name in node.input]
            output = self.new_real(result)
        self.out.operate(code, inputs, output, kind, fusedActivationFunction=self.out.activation(act))

    def on_Relu(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._each("RELU", node)

    def on_HardSwish(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._each("HARD_SWISH", node, "HardSwish")

    def on_Sigmoid(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self.out.operate("LOGISTIC", [self.real(node.input[0])], self.new_real(node.output[0]))

    def _each(self, code: str, node: onnx.NodeProto, options: str = "") -> None:
        name, result = node.input[0], node.output[0]
        if self.is_whole(name) and result in self.plain.steps:
            source, output = self.whole(name)[0], self.new_whole(result, self.plain.steps[result])
        else:
            source, output = self.real(name), self.new_real(result)
        self.out.operate(code, [source], output, options)

    def on_HardSigmoid(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        """relu6(6αx + 6β) / 6."""
        name, result = node.input[0], node.output[0]
        scaled = self.out.tensor(f"{result}_scaled", np.float32, self.last(name))
        moved = self.out.tensor(f"{result}_moved", np.float32, self.last(name))
        slope, middle = 6 * how.get("alpha", 0.2), 6 * how.get("beta", 0.5)
        six = self.out.activation("RELU6")
        self.out.operate("MUL", [self.real(name), self._number(result, "slope", slope)], scaled, "Mul")
        self.out.operate(
            "ADD", [scaled, self._number(result, "middle", middle)], moved, "Add", fusedActivationFunction=six
        )
        self.out.operate("MUL", [moved, self._number(result, "sixth", 1 / 6)], self.new_real(result), "Mul")

    def _number(self, name: str, what: str, value: float) -> int:
        return self.out.constant(f"{name}_{what}", np.array([value], np.float32))

    def on_Clip(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        name, result = node.input[0], node.output[0]
        if self._rectifier(node):
            self._each("RELU6", node)
            return
        low, high = limits_of(node, self.values)
        inner = (
            self.out.tensor(f"{result}_above", np.float32, self.last(name)) if high < LARGEST else self.new_real(result)
        )
        inputs = [self.real(name), self._number(result, "low", low)]
        self.out.operate("MAXIMUM", inputs, inner, "MaximumMinimum")
        if high < LARGEST:
            inputs = [inner, self._number(result, "high", high)]
            self.out.operate("MINIMUM", inputs, self.new_real(result), "MaximumMinimum")

    def on_BatchNormalization(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        scale, shift, mean, variance = (self.values[name].astype(np.float64) for name in node.input[1:5])
        factor = scale / np.sqrt(variance + how.get("epsilon", 1e-5))
        name, result = node.input[0], node.output[0]
        if len(self.shape(name)) not in (2, 4):
            raise self.refuse(f"{called(node)} is no norm of images or of rows")
        scaled = self.out.tensor(f"{result}_scaled", np.float32, self.last(name))
        factors = self.out.constant(f"{result}_factor", factor.astype(np.float32))
        shifts = self.out.constant(f"{result}_shift", (shift - mean * factor).astype(np.float32))
        self.out.operate("MUL", [self.real(name), factors], scaled, "Mul")
        self.out.operate("ADD", [scaled, shifts], self.new_real(result), "Add")

    # Shape

    def on_Flatten(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._flat(node)

    def on_Reshape(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._flat(node)

    def on_Squeeze(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self._flat(node)

    def _flat(self, node: onnx.NodeProto) -> None:
        name, result = node.input[0], node.output[0]
        shape = self.last(name)
        if len(self.shape(result)) != 2 or (len(shape) == 4 and max(shape[1:3]) > 1):
            raise self.refuse(f"{called(node)} changes the order of values")
        goal = self.out.constant(f"{result}_shape", np.array([-1, self.shape(result)[1]], np.int32))
        self.out.operate("RESHAPE", [self.real(name), goal], self.new_real(result), "Reshape")

    def on_Concat(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        four = len(self.shape(node.output[0])) == 4
        axis = AXES[how["axis"] % 4] if four else how["axis"]
        inputs = [self.real(name) for name in node.input]
        self.out.operate("CONCATENATION", inputs, self.new_real(node.output[0]), "Concatenation", axis=axis)

    def on_Slice(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        name, result = node.input[0], node.output[0]
        shape = self.shape(name)
        begin, size = [0] * len(shape), [-1] * len(shape)
        for axis, part in parts_of(node, self.values, shape).items():
            begin[axis], size[axis] = part
        order = TO_LAST if len(shape) == 4 else range(len(shape))
        places = [
            self.out.constant(f"{result}_{what}", np.array([values[axis] for axis in order], np.int32))
            for what, values in (("begin", begin), ("size", size))
        ]
        if self.is_whole(name):
            source, step = self.whole(name)
            self.out.operate("SLICE", [source, *places], self.new_whole(result, step), "Slice")
        else:
            self.out.operate("SLICE", [self.real(name), *places], self.new_real(result), "Slice")

    def on_Identity(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        name, result = node.input[0], node.output[0]
        if name in self.wholes:
            self.wholes[result] = self.wholes[name]
        self.floats[result] = self.real(name)
