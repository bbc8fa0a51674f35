"""Inspection of graphs and engines."""

from __future__ import annotations

from pathlib import Path

from calibration.quantize import LAYERS


def unquantised(graph: Path) -> list[str]:
    """Names of convolutions and linear layers whose input or weight does not come out of a DequantizeLinear.

    A runtime computes in int8 only what is between Q/DQ (NVIDIA TensorRT documentation, "Explicit Quantization").
    """
    import onnx

    nodes = onnx.load(graph, load_external_data=False).graph.node
    made_by = {output: node.op_type for node in nodes for output in node.output}
    return [
        node.name
        for node in nodes
        if node.op_type in LAYERS and any(made_by.get(name) != "DequantizeLinear" for name in node.input[:2])
    ]
