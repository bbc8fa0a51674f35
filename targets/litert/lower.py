"""Operations of a graph as LiteRT's: channels last, activations fused, and int8 where the graph has Q/DQ.

An operation computes in int8 if the graph quantises all that it reads and its result; otherwise in float, with a
conversion where needed. A result that only a ReLU reads is quantised once, after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import ArtifactFailed
from targets.litert.flatbuffer import FlatWriter
from targets.plain_graph import PlainGraph, attributes, constants, make_plain

if TYPE_CHECKING:
    import onnx

TO_LAST = (0, 2, 3, 1)  # N×C×H×W → N×H×W×C
AXES = {0: 0, 1: 3, 2: 1, 3: 2}
LARGEST = float(np.finfo(np.float32).max)
Pairs = tuple[tuple[int, int], tuple[int, int]]


def convert(graph: Path) -> bytes:
    """A graph of the stages `export` or `calibrate` as a `.tflite` file.

    Raises:
        ArtifactFailed: it has an operation that is not known here.
    """
    return _Lowering(graph.name, make_plain(graph)).run()


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


class _Lowering:
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

    def run(self) -> bytes:
        """The file."""
        known = {name.removeprefix("_on_") for name in dir(self) if name.startswith("_on_")}
        if unknown := sorted({node.op_type for node in self.graph.node} - known):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: zoo does not know its {', '.join(unknown)}")
        plane, result = self.graph.input[0].name, self.graph.output[0].name
        _, channels, height, width = self.shapes[plane]
        shape = (1, height, width, channels)
        source = self.out.tensor("images", np.uint8, shape)
        self.floats[plane] = self.out.tensor(plane, np.float32, shape)
        self.out.operate("CAST", [source], self.floats[plane], "Cast", inDataType=3, outDataType=0)
        for node in self.graph.node:
            if node.output[0] not in self.skipped:
                getattr(self, f"_on_{node.op_type}")(node, attributes(node))
        return self.out.finish(source, self.real(result))

    # Tensors

    def last(self, name: str) -> list[int]:
        """Shape of a tensor, channels last."""
        shape = self.shapes.get(name)
        if not shape or not all(shape):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: the shape of {name} is not known")
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

    # Layers

    def _on_Conv(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802 - named after operations
        layer = self.plain.layers[node.output[0]]
        groups, channels = how.get("group", 1), self.shapes[node.input[0]][1]
        deep = groups == channels and layer.weight.shape[1] == 1
        order, axis = ((1, 2, 3, 0), 3) if deep and groups > 1 else ((0, 2, 3, 1), 0)
        kernel, strides = layer.weight.shape[2:], how.get("strides", [1, 1])
        dilations = how.get("dilations", [1, 1])
        options = {
            "strideH": strides[0], "strideW": strides[1], "dilationHFactor": dilations[0],
            "dilationWFactor": dilations[1],
        }  # fmt: skip
        spans = [1 + (size - 1) * gap for size, gap in zip(kernel, dilations, strict=True)]
        pads = _pairs(how)
        same = strides == [1, 1] and all(pair == ((span - 1) // 2, span // 2) for pair, span in zip(pads, spans, strict=True))
        if axis == 3:
            options["depthMultiplier"] = layer.weight.shape[0] // groups

        def write(code: str, kind: str, source: int, weight: int, bias: int, output: int, act: str) -> None:
            self.out.operate(
                code, [source, weight, bias], output, kind, **options,
                padding=self.out.padding(same), fusedActivationFunction=self.out.activation(act),
            )  # fmt: skip

        code, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if axis == 3 else ("CONV_2D", "Conv2D")
        self._layer(node, order, axis, lambda *given: write(code, kind, *given), None if same else pads)

    def _on_Gemm(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        if how.get("alpha", 1) != 1 or how.get("beta", 1) != 1 or how.get("transA"):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} scales or transposes")
        self._layer(node, (0, 1), 0, self._connect, None)

    def _on_MatMul(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        if node.output[0] not in self.plain.layers or len(self.shapes[node.input[0]]) != 2:
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} multiplies no N×C by constants")
        self._layer(node, (0, 1), 0, self._connect, None)

    def _connect(self, source: int, weight: int, bias: int, output: int, act: str) -> None:
        fused = self.out.activation(act)
        self.out.operate("FULLY_CONNECTED", [source, weight, bias], output, "FullyConnected", fusedActivationFunction=fused)

    def _layer(
        self,
        node: onnx.NodeProto,
        order: tuple[int, ...],
        axis: int,
        write: Callable[[int, int, int, int, str], None],
        pads: Pairs | None,
    ) -> None:
        """A layer with constant weights, which are stored in another order of axes; padded before it if needed."""
        name, layer = node.output[0], self.plain.layers[node.output[0]]
        bias = self.values[node.input[2]] if len(node.input) > 2 else np.zeros(len(layer.weight))
        bias = np.broadcast_to(bias.astype(np.float32).reshape(-1), (len(layer.weight),))
        result, act, step = self.fused(node)
        if layer.scales is not None and step is not None:
            source, unit = self.whole(node.input[0])
            source = self._padded(node.input[0], source, pads, unit)
            scales = np.maximum(layer.scales, np.float32(1e-30))
            rows = np.rint(layer.weight / scales.reshape(-1, *[1] * (layer.weight.ndim - 1)))
            weight = np.clip(rows, -127, 127).astype(np.int8).transpose(order)
            limit = np.iinfo(np.int32).max
            summed = np.clip(np.rint(bias.astype(np.float64) / (scales.astype(np.float64) * unit)), -limit, limit)
            numbers = (
                self.out.constant(f"{name}_weight", weight, scales.tolist(), axis),
                self.out.constant(f"{name}_bias", summed.astype(np.int32), (scales * unit).tolist()),
            )
            write(source, *numbers, self.new_whole(result, step), act)
            return
        source = self._padded(node.input[0], self.real(node.input[0]), pads, None)
        weight = layer.weight.transpose(order)
        number = self.out.constant(f"{name}_weight", weight.astype(np.float16) if self.plain.half else weight)
        if self.plain.half:
            half, number = number, self.out.tensor(f"{name}_weight_float", np.float32, weight.shape, fixed=True)
            self.out.operate("DEQUANTIZE", [half], number)
        write(source, number, self.out.constant(f"{name}_bias", bias), self.new_real(result), act)

    def _padded(self, name: str, source: int, pads: Pairs | None, step: float | None, least: float | None = None) -> int:
        """The input with a border: of zeros, or of the least value."""
        if pads is None or not np.any(pads):
            return source
        (top, bottom), (left, right) = pads
        batch, height, width, channels = self.last(name)
        shape = (batch, height + top + bottom, width + left + right, channels)
        kind = np.float32 if step is None else np.int8
        scales = None if step is None else [step]
        output = self.out.tensor(f"{name}_padded", kind, shape, scales)
        amounts = self.out.constant(f"{name}_pads", np.array([[0, 0], *pads, [0, 0]], np.int32))
        if least is None:
            self.out.operate("PAD", [source, amounts], output, "Pad")
        else:
            border = self.out.constant(f"{name}_border", np.array([least], kind), scales)
            self.out.operate("PADV2", [source, amounts, border], output, "PadV2")
        return output

    # Pooling and means

    def _on_MaxPool(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        self._pool("MAX_POOL_2D", node, how)

    def _on_AveragePool(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        if np.any(_pairs(how)):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} averages over a border")
        self._pool("AVERAGE_POOL_2D", node, how)

    def _pool(self, code: str, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        """A pooling: in int8 its result has the steps of its input."""
        name, kernel, strides = node.input[0], how["kernel_shape"], how.get("strides", [1, 1])
        if how.get("dilations", [1, 1]) != [1, 1]:
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} has dilations")
        pads, step = _pairs(how), None
        if self.is_whole(name):
            source, step = self.whole(name)
        else:
            source = self.real(name)
        least = -LARGEST if step is None else -128
        source = self._padded(name, source, pads, step, least if code == "MAX_POOL_2D" else None)
        result = node.output[0]
        output = self.new_real(result) if step is None else self.new_whole(result, step)
        sizes = self.last(name)[1:3]
        over = how.get("ceil_mode", 0) and any((size - k) % s for size, k, s in zip(sizes, kernel, strides, strict=True))
        if over and (np.any(pads) or kernel != strides):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} leaves the image")
        self.out.operate(
            code, [source], output, "Pool2D", padding=self.out.padding(bool(over)), strideH=strides[0],
            strideW=strides[1], filterHeight=kernel[0], filterWidth=kernel[1],
        )  # fmt: skip

    def _on_GlobalAveragePool(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._mean(node, [2, 3], True)

    def _on_ReduceMean(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        self._mean(node, self._axes(node, how), bool(how.get("keepdims", 1)))

    def _axes(self, node: onnx.NodeProto, how: dict[str, Any]) -> list[int]:
        rank = len(self.shapes[node.input[0]])
        axes = how.get("axes") or (self.values[node.input[1]].tolist() if len(node.input) > 1 else [*range(rank)])
        return [axis % rank for axis in axes]

    def _mean(self, node: onnx.NodeProto, axes: Sequence[int], keep: bool) -> None:
        name, result = node.input[0], node.output[0]
        at = [AXES[axis] for axis in axes] if len(self.shapes[name]) == 4 else axes
        numbers = self.out.constant(f"{result}_axes", np.array(at, np.int32))
        if self.is_whole(name) and result in self.plain.steps:
            source, output = self.whole(name)[0], self.new_whole(result, self.plain.steps[result])
        else:
            source, output = self.real(name), self.new_real(result)
        self.out.operate("MEAN", [source, numbers], output, "Reducer", keepDims=keep)

    def _on_ReduceL2(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        name, result = node.input[0], node.output[0]
        source, axes, keep = self.real(name), self._axes(node, how), bool(how.get("keepdims", 1))
        squares = self.out.tensor(f"{result}_squares", np.float32, self.last(name))
        self.out.operate("MUL", [source, source], squares, "Mul")
        summed = self.out.tensor(f"{result}_sum", np.float32, self.last(result))
        at = [AXES[axis] for axis in axes] if len(self.shapes[name]) == 4 else axes
        numbers = self.out.constant(f"{result}_axes", np.array(at, np.int32))
        self.out.operate("SUM", [squares, numbers], summed, "Reducer", keepDims=keep)
        self.out.operate("SQRT", [summed], self.new_real(result))

    # Element by element

    def _on_Add(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._pairwise("ADD", "Add", node, True)

    def _on_Mul(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._pairwise("MUL", "Mul", node, True)

    def _on_Sub(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._pairwise("SUB", "Sub", node, False)

    def _on_Div(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._pairwise("DIV", "Div", node, False)

    def _pairwise(self, code: str, kind: str, node: onnx.NodeProto, in_int8: bool) -> None:
        result, act, step = self.fused(node)
        if in_int8 and step is not None and self.is_whole(*node.input):
            inputs = [self.whole(name)[0] for name in node.input]
            output = self.new_whole(result, step)
        else:
            inputs = [self.real(name) for name in node.input]
            output = self.new_real(result)
        self.out.operate(code, inputs, output, kind, fusedActivationFunction=self.out.activation(act))

    def _on_Relu(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._each("RELU", node)

    def _on_HardSwish(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._each("HARD_SWISH", node, "HardSwish")

    def _on_Sigmoid(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self.out.operate("LOGISTIC", [self.real(node.input[0])], self.new_real(node.output[0]))

    def _each(self, code: str, node: onnx.NodeProto, options: str = "") -> None:
        name, result = node.input[0], node.output[0]
        if self.is_whole(name) and result in self.plain.steps:
            source, output = self.whole(name)[0], self.new_whole(result, self.plain.steps[result])
        else:
            source, output = self.real(name), self.new_real(result)
        self.out.operate(code, [source], output, options)

    def _on_HardSigmoid(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        """relu6(6αx + 6β) / 6."""
        name, result = node.input[0], node.output[0]
        scaled = self.out.tensor(f"{result}_scaled", np.float32, self.last(name))
        moved = self.out.tensor(f"{result}_moved", np.float32, self.last(name))
        slope, middle = 6 * how.get("alpha", 0.2), 6 * how.get("beta", 0.5)
        six = self.out.activation("RELU6")
        self.out.operate("MUL", [self.real(name), self._number(result, "slope", slope)], scaled, "Mul")
        self.out.operate("ADD", [scaled, self._number(result, "middle", middle)], moved, "Add", fusedActivationFunction=six)
        self.out.operate("MUL", [moved, self._number(result, "sixth", 1 / 6)], self.new_real(result), "Mul")

    def _number(self, name: str, what: str, value: float) -> int:
        return self.out.constant(f"{name}_{what}", np.array([value], np.float32))

    def _on_Clip(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        name, result = node.input[0], node.output[0]
        if self._rectifier(node):
            self._each("RELU6", node)
            return
        low, high = self.limits(node)
        inner = self.out.tensor(f"{result}_above", np.float32, self.last(name)) if high < LARGEST else self.new_real(result)
        inputs = [self.real(name), self._number(result, "low", low)]
        self.out.operate("MAXIMUM", inputs, inner, "MaximumMinimum")
        if high < LARGEST:
            inputs = [inner, self._number(result, "high", high)]
            self.out.operate("MINIMUM", inputs, self.new_real(result), "MaximumMinimum")

    def _on_BatchNormalization(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        scale, shift, mean, variance = (self.values[name].astype(np.float64) for name in node.input[1:5])
        factor = scale / np.sqrt(variance + how.get("epsilon", 1e-5))
        name, result = node.input[0], node.output[0]
        scaled = self.out.tensor(f"{result}_scaled", np.float32, self.last(name))
        factors = self.out.constant(f"{result}_factor", factor.astype(np.float32))
        shifts = self.out.constant(f"{result}_shift", (shift - mean * factor).astype(np.float32))
        self.out.operate("MUL", [self.real(name), factors], scaled, "Mul")
        self.out.operate("ADD", [scaled, shifts], self.new_real(result), "Add")

    # Shape

    def _on_Flatten(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._flat(node)

    def _on_Reshape(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._flat(node)

    def _on_Squeeze(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        self._flat(node)

    def _flat(self, node: onnx.NodeProto) -> None:
        name, result = node.input[0], node.output[0]
        shape = self.last(name)
        if len(self.shapes[result]) != 2 or (len(shape) == 4 and max(shape[1:3]) > 1):
            raise ArtifactFailed(f"{self.name} can't be converted for LiteRT: {node.name} changes the order of values")
        goal = self.out.constant(f"{result}_shape", np.array([-1, self.shapes[result][1]], np.int32))
        self.out.operate("RESHAPE", [self.real(name), goal], self.new_real(result), "Reshape")

    def _on_Concat(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:  # noqa: N802
        four = len(self.shapes[node.output[0]]) == 4
        axis = AXES[how["axis"] % 4] if four else how["axis"]
        inputs = [self.real(name) for name in node.input]
        self.out.operate("CONCATENATION", inputs, self.new_real(node.output[0]), "Concatenation", axis=axis)

    def _on_Identity(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:  # noqa: N802
        name, result = node.input[0], node.output[0]
        if name in self.wholes:
            self.wholes[result] = self.wholes[name]
        self.floats[result] = self.real(name)


def _pairs(how: dict[str, Any]) -> Pairs:
    """Pixels above and below, left and right, that a convolution or pooling adds.

    `auto_pad` is NOTSET in what torch exports.
    """
    top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
    return (top, bottom), (left, right)
