"""How much a layer computes for each value that it takes and gives.

int8 saves time in proportion to what is computed, and a layer in int8 among others in float, or the other way round,
costs a conversion of each value. So a layer that computes little for each is the least likely to gain.
"""

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


def work_per_value(graph: Path) -> dict[str, float]:
    """Multiply-accumulates of each convolution and linear layer, per value of its input and output.

    Infinite where the graph does not tell shapes, or both factors are computed.

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
        found[node.name] = prod(made) * weight / channels / (prod(taken) + prod(made))
    return found
