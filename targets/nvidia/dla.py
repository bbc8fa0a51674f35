"""DLA, the accelerator beside the GPU of an Orin: where it can be used, and how an engine is built for it.

Layers that a DLA does not support run on the GPU, among them every layer in fp32, and those that normalise pixels and
embeddings. Shapes are fixed: an engine takes one image at a time.

Source: NVIDIA TensorRT 11.4.1 documentation, "Working with DLA" (build and run, supported layers and restrictions, ONNX
parser flags, strongly typed networks).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import ArtifactFailed, Unusable
from targets.nvidia.jetpacks import STACKS, same_board, stack_with, stacks_of
from targets.nvidia.ranges import VersionRange
from targets.settings import Precision

PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")
VERSIONS = VersionRange.parse(">=11.4.1")
ON_THE_GPU = "Use `device: GPU`."


@dataclass(frozen=True)
class DlaUse:
    """The part of a network that an engine computes on a DLA; the GPU computes the rest.

    Attributes:
        core: number of the DLA.
        layers: of the parsed network, those that the DLA supports.
        of: all layers of the parsed network.
    """

    core: int
    layers: int
    of: int


def why_never(board: str | None, versions: str) -> str | None:
    """Why a target can't use a DLA, by the table of JetPacks alone; None if it can, or if the table lacks the board.

    Args:
        board: the target's `board`.
        versions: range of TensorRT that the target takes; empty: any.
    """
    asked = VersionRange.parse(versions)
    stacks = stacks_of(board, asked) or stacks_of(board, VersionRange())
    if stacks and all(stack.no_dla for stack in stacks):
        return stacks[-1].no_dla
    return None if asked.overlaps(VERSIONS) else f"TensorRT {versions} does not support the DLA of a Jetson"


def check_dla(trt: Any, builder: Any, name: str, core: int) -> None:
    """Check that this machine has a DLA that zoo can use.

    Args:
        trt: the package `tensorrt`.
        builder: of that package.
        name: the machine's own name.
        core: number of the DLA.

    Raises:
        Unusable: it has none, with the reason.
    """
    version, cores = str(trt.__version__), int(builder.num_DLA_cores)
    fits, rows = stack_with(name, version), [stack for stack in STACKS if same_board(name, stack)]
    why = fits.no_dla if fits else None
    if why is None and rows and all(stack.no_dla for stack in rows):
        why = rows[-1].no_dla
    if why is None and version not in VERSIONS:
        why = f"TensorRT {version} is installed here, and TensorRT supports it on Jetsons in {VERSIONS}"
    if why is None and core >= cores:
        why = f"there is no DLA.{core} here, only 0 to {cores - 1}" if cores else "TensorRT sees none here"
    if why:
        raise Unusable(f"a DLA can't be used: {why}", ON_THE_GPU)


def prefer_dla(trt: Any, config: Any, parser: Any, core: int) -> None:
    """Make a builder put on a DLA what it supports, and the parser rewrite layers so that it supports more."""
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    parser.set_flag(trt.OnnxParserFlag.ADJUST_FOR_DLA)


def use_of_dla(trt: Any, network: Any, config: Any, core: int, graph: Path) -> DlaUse:
    """Count the layers of a parsed network that the DLA supports.

    Raises:
        ArtifactFailed: none, though some compute in fp16 or int8: the engine would run on the GPU alone.
    """
    small = (trt.DataType.HALF, trt.DataType.INT8)
    layers = [network.get_layer(place) for place in range(network.num_layers)]
    found = sum(bool(config.can_run_on_DLA(layer)) for layer in layers)
    outputs = [layer.get_output(0) for layer in layers]
    if not found and any(output is not None and output.dtype in small for output in outputs):
        raise ArtifactFailed(f"the DLA supports none of the {len(layers)} layers of {graph.name}. {ON_THE_GPU}")
    return DlaUse(core, found, len(layers))
