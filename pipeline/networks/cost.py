"""Parameters and multiply-accumulates of a torch network and of an ONNX graph, counted in the same way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.data.images import Input
from pipeline.settings import Settings

if TYPE_CHECKING:
    import onnx
    from torch import nn


class Cost(Settings):
    """Cost of one image in the deployed network: backbone and head, without classifier.

    `parameters` counts all learnt parameters; `kernel_parameters` only those that convolutions and linear layers
    multiply by, which do not change when a norm is folded into its convolution; `macs` counts their multiplications.
    """

    parameters: int = Field(ge=1, description="all learnt parameters; determines the size of the file")
    kernel_parameters: int = Field(
        ge=0,
        description="those of convolutions and linear layers; equal in network and graph, whatever was folded",
    )
    macs: int = Field(ge=1, description="multiply-accumulates of one image; a comparison without a device")


def macs_by_module(network: nn.Module, size: Input) -> dict[str, int]:
    """Multiply-accumulates of one image by module name; the whole network has the empty name."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network.eval()
    device = next(network.parameters()).device
    # The counter hooks into the autograd graph of tensors that require gradients, and fails without one.
    learnt = [one for one in network.parameters() if one.requires_grad and not one.is_inference()]
    for parameter in learnt:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, size.height, size.width, device=device))
    finally:
        for parameter in learnt:
            parameter.requires_grad_(True)
    root = type(network).__name__
    counts = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    return {name.removeprefix(root).removeprefix("."): macs for name, macs in counts.items() if name != "Global"}


def network_cost(network: nn.Module, size: Input) -> Cost:
    """Cost of a torch network, by torch's own flop counter (one multiply-accumulate is two flops)."""
    from torch import nn

    dense = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        kernel_parameters=sum(module.weight.numel() for module in dense),
        macs=macs_by_module(network, size)[""],
    )


def graph_cost(path: Path) -> Cost:
    """`model_cost` of a file."""
    import onnx

    return model_cost(onnx.load(path))


def model_cost(given: onnx.ModelProto) -> Cost:
    """Cost of an ONNX graph at batch 1: initializers, and multiplications of Conv, Gemm and MatMul."""
    import onnx
    from onnx import numpy_helper, shape_inference

    model = onnx.ModelProto()
    model.CopyFrom(given)
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    batch.ClearField("dim_param")
    batch.dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    weights = {item.name: item for item in graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.value_info, *graph.output]
    }
    shapes |= {name: list(item.dims) for name, item in weights.items()}
    kernels: list[str] = []  # by use: exporters share one initializer among equal kernels, such as zeros
    macs = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        kernels += [name for name in node.input[:2] if name in weights]
        first, second = (shapes[name] for name in node.input[:2])
        # Multiplications per element of the result; attention multiplies two activations.
        inner = math.prod(second[1:]) if node.op_type == "Conv" else first[-1]
        macs += math.prod(shapes[node.output[0]]) * inner
    floats = [item for item in weights.values() if numpy_helper.to_array(item).dtype.kind == "f"]
    return Cost(
        parameters=sum(math.prod(item.dims) for item in floats),
        kernel_parameters=sum(math.prod(weights[name].dims) for name in kernels),
        macs=macs,
    )
