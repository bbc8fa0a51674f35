"""Layers of an engine. Source: NVIDIA TensorRT documentation, "Engine Inspector"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.tensorrt import TensorRt

BOOKKEEPING = ("Constant", "Identity", "NoOp", "Reformat", "Shuffle")  # layers that move or keep data without computing


@dataclass(frozen=True)
class Layer:
    """A layer of an engine, as the runtime has fused it.

    Attributes:
        name: names of the graph's nodes in it, in the runtime's words.
        kind: of layer, in the runtime's words.
        reads: data types and formats of what goes in.
        writes: those of what comes out.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    @property
    def int8(self) -> bool:
        """Whether it computes on int8 values."""
        return self.kind not in BOOKKEEPING and any("int8" in one.lower().replace("uint8", "") for one in self.reads)


def _words(tensor: Mapping[str, Any]) -> str:
    """Type and format, which releases put into one field or into two."""
    return " ".join(str(value) for name, value in tensor.items() if "ormat" in name or "atatype" in name.lower())


def parse_layers(text: str) -> list[Layer]:
    """Layers from the JSON of the engine inspector, which has more than names if the engine was built with details."""
    layers = json.loads(text)["Layers"]
    assert all(isinstance(layer, dict) for layer in layers), "this engine knows only the names of its layers"
    return [
        Layer(
            str(layer.get("Name", "")),
            str(layer.get("LayerType", "")),
            tuple(map(_words, layer.get("Inputs", []))),
            tuple(map(_words, layer.get("Outputs", []))),
        )
        for layer in layers
    ]


def read_layers(target: TensorRt, folder: Path) -> list[Layer]:
    """What a target compiled, on the current GPU. Formats are known once a shape is: the profile's best one."""
    trt, _, _, engine = target._open(folder)
    name = next(
        name
        for name in map(engine.get_tensor_name, range(engine.num_io_tensors))
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    )
    context = engine.create_execution_context()
    assert context
    context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1])
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    return parse_layers(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
