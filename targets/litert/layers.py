"""Layers with constant weights: convolutions and linear layers, with their padding and activation.

A layer computes in int8 if the graph has Q/DQ at its weights, its input and its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.litert.tensors import Tensors
from targets.plain_graph import called

if TYPE_CHECKING:
    import onnx

Pairs = tuple[tuple[int, int], tuple[int, int]]


def pairs_of(how: dict[str, Any]) -> Pairs:
    """Pixels above and below, left and right, that a convolution or pooling adds."""
    top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
    return (top, bottom), (left, right)


class Layers(Tensors):
    """Writes layers, each by a method that is named after the operation."""

    def on_Conv(self, node: onnx.NodeProto, how: dict[str, Any]) -> None:
        layer = self.plain.layers[node.output[0]]
        groups, channels = how.get("group", 1), self.shape(node.input[0])[1]
        deep = groups == channels and layer.weight.shape[1] == 1
        order, axis = ((1, 2, 3, 0), 3) if deep and groups > 1 else ((0, 2, 3, 1), 0)
        kernel, strides = layer.weight.shape[2:], how.get("strides", [1, 1])
        dilations = how.get("dilations", [1, 1])
        options = {
            "strideH": strides[0], "strideW": strides[1], "dilationHFactor": dilations[0],
            "dilationWFactor": dilations[1],
        }  # fmt: skip
        spans = [1 + (size - 1) * gap for size, gap in zip(kernel, dilations, strict=True)]
        pads = pairs_of(how)
        same = strides == [1, 1] and all(
            pair == ((span - 1) // 2, span // 2) for pair, span in zip(pads, spans, strict=True)
        )
        if axis == 3:
            options["depthMultiplier"] = layer.weight.shape[0] // groups

        def write(code: str, kind: str, source: int, weight: int, bias: int, output: int, act: str) -> None:
            self.out.operate(
                code, [source, weight, bias], output, kind, **options,
                padding=self.out.padding(same), fusedActivationFunction=self.out.activation(act),
            )  # fmt: skip

        code, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if axis == 3 else ("CONV_2D", "Conv2D")
        self.layer_of(node, order, axis, lambda *given: write(code, kind, *given), None if same else pads)

    def on_Gemm(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        self.layer_of(node, (0, 1), 0, self._connect, None)

    def on_MatMul(self, node: onnx.NodeProto, _: dict[str, Any]) -> None:
        if len(self.shape(node.input[0])) != 2:
            raise self.refuse(f"{called(node)} multiplies no N×C by constants")
        self.layer_of(node, (0, 1), 0, self._connect, None)

    def _connect(self, source: int, weight: int, bias: int, output: int, act: str) -> None:
        fused = self.out.activation(act)
        self.out.operate(
            "FULLY_CONNECTED", [source, weight, bias], output, "FullyConnected", fusedActivationFunction=fused
        )

    def layer_of(
        self,
        node: onnx.NodeProto,
        order: tuple[int, ...],
        axis: int,
        write: Callable[[int, int, int, int, str], None],
        pads: Pairs | None,
    ) -> None:
        """A layer with constant weights, which are stored in another order of axes; padded before it if needed."""
        name, layer = node.output[0], self.plain.layers[node.output[0]]
        bias = self.values[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(len(layer.weight))
        bias = np.broadcast_to(bias.astype(np.float32).reshape(-1), (len(layer.weight),))
        result, act, step = self.fused(node)
        if layer.scales is not None and step is not None:
            source, unit = self.whole(node.input[0])
            source = self.padded(node.input[0], source, pads, unit)
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
        source = self.padded(node.input[0], self.real(node.input[0]), pads, None)
        weight = layer.weight.transpose(order)
        number = self.out.constant(f"{name}_weight", weight.astype(np.float16) if self.plain.half else weight)
        if self.plain.half:
            half, number = number, self.out.tensor(f"{name}_weight_float", np.float32, weight.shape, fixed=True)
            self.out.operate("DEQUANTIZE", [half], number)
        write(source, number, self.out.constant(f"{name}_bias", bias), self.new_real(result), act)

    def padded(self, name: str, source: int, pads: Pairs | None, step: float | None, least: float | None = None) -> int:
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
