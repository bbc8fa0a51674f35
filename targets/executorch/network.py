"""A graph as a torch network, operation by operation, with Q/DQ where XNNPACK looks for it.

XNNPACK computes an operation in int8 if its inputs come from a dequantisation and its result goes into a quantisation;
a ReLU may stand before the latter. So a result that only a ReLU reads is quantised after it.

Source: `executorch/backends/xnnpack/partition/config`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from targets.errors import ArtifactFailed
from targets.plain_graph import PlainGraph, attributes, called, constants
from targets.plain_ops import LARGEST, POOLS, NotConvertible, axes_of, check_nodes, limits_of, missing_pixels, parts_of

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

LOWEST, HIGHEST = -128, 127
SAME_STEPS = (*POOLS, "Slice", "Identity")  # operations whose results have the steps of their inputs
Operation = Callable[..., "Tensor"]


def make_network(name: str, plain: PlainGraph) -> nn.Module:
    """The network: uint8 N×H×W×3 → float32 N×D.

    Args:
        name: of the graph, for errors.

    Raises:
        ArtifactFailed: it has an operation that is not known here.
    """
    import torch
    import torch.ao.quantization.fx._decomposed
    from torch import nn

    graph, values = plain.model.graph, constants(plain.model.graph)
    known = _operations(values)
    if unknown := sorted({node.op_type for node in graph.node} - {*known, "Conv", "Gemm", "MatMul"}):
        raise ArtifactFailed(f"{name} can't be converted for ExecuTorch: zoo does not know its {', '.join(unknown)}")
    try:
        check_nodes(plain, values)
    except NotConvertible as error:
        raise ArtifactFailed(f"{name} can't be converted for ExecuTorch: {error}") from None
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for read in node.input:
            readers.setdefault(read, []).append(node)
    steps = dict(plain.steps)
    for node in graph.node:
        result, after = node.output[0], readers.get(node.output[0], [])
        if node.op_type in SAME_STEPS:
            steps.pop(result, None)
            if node.input[0] in steps:
                steps[result] = steps[node.input[0]]
        elif len(after) == 1 and after[0].op_type in ("Relu", "Clip") and node.op_type in ("Conv", "Gemm", "Add"):
            step = steps.pop(result, None)
            if step is not None:
                steps.setdefault(after[0].output[0], step)
    ops = torch.ops.quantized_decomposed
    weights = {node.input[1] for node in graph.node if node.output[0] in plain.layers}

    def facts_of(step: float) -> tuple[Any, ...]:
        return step, 0, LOWEST, HIGHEST, torch.int8

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.numbers: dict[str, str] = {}
            for label, value in values.items():
                if value.dtype.kind == "f" and label not in weights:
                    self.keep(label, torch.from_numpy(value.astype(np.float32)))
            for label, layer in plain.layers.items():
                if layer.scales is not None:
                    scales = np.maximum(layer.scales, np.float32(1e-30))
                    whole = np.rint(layer.weight / scales.reshape(-1, *[1] * (layer.weight.ndim - 1)))
                    whole = np.clip(whole, -127, 127).astype(np.int8)
                    self.keep(f"{label} weight", torch.from_numpy(whole))
                    self.keep(f"{label} scales", torch.from_numpy(scales.copy()))
                    self.keep(f"{label} zeros", torch.zeros(len(scales), dtype=torch.int64))
                else:
                    self.keep(f"{label} weight", torch.from_numpy(np.array(layer.weight)))

        def keep(self, label: str, value: Tensor) -> None:
            self.numbers[label] = f"value{len(self.numbers)}"
            self.register_buffer(self.numbers[label], value)

        def kept(self, label: str) -> Tensor:
            value: Tensor = getattr(self, self.numbers[label])
            return value

        def weight(self, label: str) -> Tensor:
            weight = self.kept(f"{label} weight")
            if plain.layers[label].scales is None:
                return weight
            facts = self.kept(f"{label} scales"), self.kept(f"{label} zeros"), 0, -127, HIGHEST, torch.int8
            found: Tensor = ops.dequantize_per_channel.default(weight, *facts)
            return found

        def forward(self, images: Tensor) -> Tensor:
            tensors: dict[str, Tensor] = {}

            def read(label: str) -> Tensor:
                """A tensor in float; each reader of one in int8 has a dequantisation of its own, as XNNPACK expects."""
                if label not in tensors:
                    return self.kept(label)
                if label not in steps:
                    return tensors[label]
                found: Tensor = ops.dequantize_per_tensor.default(tensors[label], *facts_of(steps[label]))
                return found

            tensors[graph.input[0].name] = images.permute(0, 3, 1, 2).to(torch.float32)
            for node in graph.node:
                result, how = node.output[0], attributes(node)
                if node.op_type in ("Conv", "Gemm", "MatMul"):
                    bias = read(node.input[2]) if len(node.input) > 2 and node.input[2] else None
                    value = _layer(node, how, read(node.input[0]), self.weight(result), bias)
                else:
                    value = known[node.op_type](node, how, read)
                if result in steps:
                    value = ops.quantize_per_tensor.default(value, *facts_of(steps[result]))
                tensors[result] = value
            return read(graph.output[0].name)

    return Network().eval()


def _layer(node: onnx.NodeProto, how: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    from torch.nn import functional

    if node.op_type != "Conv":
        return functional.linear(x, weight, bias)
    top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
    padding = (top, left)
    if (top, left) != (bottom, right):
        x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
    strides, dilations = how.get("strides", [1, 1]), how.get("dilations", [1, 1])
    return functional.conv2d(x, weight, bias, strides, padding, dilations, how.get("group", 1))


def _operations(values: dict[str, np.ndarray]) -> dict[str, Operation]:
    """Each operation without constant weights: node, attributes and a reader of tensors → its result."""
    import torch
    from torch.nn import functional

    def clip(node: onnx.NodeProto, _: dict[str, Any], read: Operation) -> Tensor:
        low, high = limits_of(node, values)
        if (low, high) == (0, 6):
            return functional.relu6(read(node.input[0]))
        return torch.clamp(read(node.input[0]), low, None if high >= LARGEST else high)

    def pool(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        top, left, bottom, right = how.get("pads", [0, 0, 0, 0])
        x, padding = read(node.input[0]), (top, left)
        kernel, strides, above = how["kernel_shape"], how.get("strides", [1, 1]), bool(how.get("ceil_mode", 0))
        if node.op_type == "MaxPool":
            if (top, left) != (bottom, right):
                below, behind = missing_pixels(how, x.shape[2:])  # torch would begin windows in the border at the end
                border = left, right + behind, top, bottom + below
                x, padding, above = functional.pad(x, border, value=-torch.inf), (0, 0), False
            return functional.max_pool2d(x, kernel, strides, padding, how.get("dilations", [1, 1]), above)
        if (top, left) != (bottom, right):
            raise ArtifactFailed(f"{called(node)} averages over a border, which ExecuTorch can't")
        return functional.avg_pool2d(x, kernel, strides, padding, above, bool(how.get("count_include_pad", 0)))

    def norm(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        x, scale, shift, mean, variance = (read(name) for name in node.input[:5])
        return functional.batch_norm(x, mean, variance, scale, shift, eps=how.get("epsilon", 1e-5))

    def cut(node: onnx.NodeProto, _: dict[str, Any], read: Operation) -> Tensor:
        x = read(node.input[0])
        for axis, part in parts_of(node, values, x.shape).items():
            x = x.narrow(axis, *part)
        return x

    def mean(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        x = read(node.input[0])
        return x.mean(axes_of(node, how, values, x.ndim), bool(how.get("keepdims", 1)))

    def length(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        x = read(node.input[0])
        return (x * x).sum(axes_of(node, how, values, x.ndim), bool(how.get("keepdims", 1))).sqrt()

    def hard_sigmoid(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        return torch.clamp(read(node.input[0]) * how.get("alpha", 0.2) + how.get("beta", 0.5), 0, 1)

    def squeeze(node: onnx.NodeProto, _: dict[str, Any], read: Operation) -> Tensor:
        return read(node.input[0]).squeeze(values[node.input[1]].tolist())

    def flatten(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        x, axis = read(node.input[0]), how.get("axis", 1)
        if axis not in (1, 1 - x.ndim):
            raise ArtifactFailed(f"{called(node)} keeps other axes than that of images, which ExecuTorch can't")
        return x.flatten(1)

    def reshape(node: onnx.NodeProto, how: dict[str, Any], read: Operation) -> Tensor:
        x, goal = read(node.input[0]), values[node.input[1]].tolist()
        if how.get("allowzero"):
            raise ArtifactFailed(f"{called(node)} makes empty tensors, which ExecuTorch can't")
        return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(goal)])

    def one(function: Operation) -> Operation:
        return lambda node, _how, read: function(read(node.input[0]))

    def two(function: Operation) -> Operation:
        return lambda node, _how, read: function(read(node.input[0]), read(node.input[1]))

    return {
        "Add": two(torch.add), "Sub": two(torch.sub), "Mul": two(torch.mul), "Div": two(torch.div), "Clip": clip,
        "Relu": one(functional.relu), "Sigmoid": one(torch.sigmoid), "HardSwish": one(functional.hardswish),
        "HardSigmoid": hard_sigmoid, "MaxPool": pool, "AveragePool": pool, "ReduceMean": mean, "ReduceL2": length,
        "GlobalAveragePool": one(lambda x: x.mean(tuple(range(2, x.ndim)), True)), "BatchNormalization": norm,
        "Slice": cut, "Squeeze": squeeze, "Reshape": reshape, "Flatten": flatten,
        "Identity": one(lambda x: x),
        "Concat": lambda node, how, read: torch.cat([read(name) for name in node.input], how["axis"]),
    }  # fmt: skip
