"""How much a layer computes for what it moves: the less, the less it gains in int8."""

from __future__ import annotations

from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.quantize import LAYERS

if TYPE_CHECKING:
    import onnx


def _sizes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of all values, for one image: axes without a size count as one."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    known = [value for value in values if value.type.tensor_type.HasField("shape")]
    return {
        value.name: [axis.dim_value if axis.dim_value > 0 else 1 for axis in value.type.tensor_type.shape.dim]
        for value in known
    }


def intensities(graph: Path) -> dict[str, float]:
    """Arithmetic intensity of each convolution and linear layer: multiply-accumulates per value read or written.

    Infinite where the graph does not tell shapes, or both factors are computed. Source: Williams, Waterman, Patterson,
    "Roofline", Communications of the ACM 2009.

    Args:
        graph: ONNX; its layers have names of their own.
    """
    import onnx

    model = onnx.load(graph)
    sizes, weights = _sizes(model), {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type not in LAYERS:
            continue
        taken, made, weight = sizes.get(node.input[0]), sizes.get(node.output[0]), weights.get(node.input[1])
        if not taken or not made or not weight:
            found[node.name] = inf
            continue
        channels = made[1] if node.op_type == "Conv" else made[-1]
        found[node.name] = prod(made) * weight / channels / (prod(taken) + prod(made) + weight)
    return found
