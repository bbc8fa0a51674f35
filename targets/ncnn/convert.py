"""An ONNX graph becomes ncnn's two files: pnnx converts it; layers in int8 are written by `targets.ncnn.int8`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from targets.errors import ArtifactFailed, shorten
from targets.ncnn.int8 import quantize
from targets.plain_graph import PlainGraph, attributes, called, constants, make_plain, names_in, new_name, shapes_of
from targets.plain_ops import POOLS, begins_behind, is_scaled

if TYPE_CHECKING:
    import onnx

PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
SECONDS = 600  # pnnx needs one or two


def pnnx_program() -> Path | None:
    """The program in pnnx's wheel; None without it. Importing the package would import torch, which pnnx needs not."""
    spec = find_spec("pnnx")
    folders = spec.submodule_search_locations if spec else None
    found = [Path(folder, name) for folder in folders or () for name in ("pnnx", "pnnx.exe")]
    return next((path for path in found if path.is_file()), None)


@dataclass(frozen=True)
class Converted:
    """Facts about ncnn's files.

    Attributes:
        half: whether the weights are fp16.
        length: of embeddings; 0: the graph does not tell.
    """

    half: bool
    length: int


def convert(graph: Path, folder: Path, height: int, width: int) -> Converted:
    """Write ncnn's files for images of this size, one at a time.

    Raises:
        ArtifactFailed: pnnx refuses the graph, or leaves an operation that ncnn does not have.
    """
    import onnx

    plain = make_plain(graph)
    shapes = shapes_of(plain.model)
    for node in plain.model.graph.node:
        if why := _why_not(node, plain, shapes):
            raise ArtifactFailed(f"ncnn can't run {graph.name}: {called(node)} {why}")
    if "Conv" not in {node.op_type for node in plain.model.graph.node}:
        raise ArtifactFailed(
            f"ncnn can't run {graph.name}: it has no convolution, by which pnnx tells the axis of images from others"
        )
    _spell_out_linear(plain)
    with TemporaryDirectory(prefix="zoo-ncnn-") as scratch:
        onnx.save(plain.model, Path(scratch, "model.onnx"))
        _run_pnnx(Path(scratch), height, width, plain.half, graph.name)
        _check_layers(Path(scratch, PARAM), graph.name)
        if any(layer.scales is not None for layer in plain.layers.values()):
            quantize(Path(scratch, PARAM), Path(scratch, WEIGHTS), [*plain.layers.values()])
        for name in (PARAM, WEIGHTS):
            Path(folder, name).write_bytes(Path(scratch, name).read_bytes())
    length = (shapes.get(plain.model.graph.output[0].name) or [0])[-1]
    return Converted(plain.half, length)


def _why_not(node: onnx.NodeProto, plain: PlainGraph, shapes: Mapping[str, list[int]]) -> str | None:
    """What pnnx or ncnn would compute in another way, without a word."""
    how, kind = attributes(node), node.op_type
    if kind in POOLS:
        pads, sizes = how.get("pads", []), shapes.get(node.input[0], [])[2:]
        if pads[: len(pads) // 2] != pads[len(pads) // 2 :]:
            return "has another border on each side"  # pnnx takes that of the first side for both
        if len(how["kernel_shape"]) != 2:
            return "is no pooling of images"
        if how.get("ceil_mode") and (len(sizes) != 2 or not all(sizes) or begins_behind(how, sizes)):
            return "has windows that begin behind the image"
        if how.get("ceil_mode") and how.get("count_include_pad"):
            return "counts pixels behind the image"
    if kind == "Conv" and node.output[0] in plain.layers and plain.layers[node.output[0]].weight.ndim != 4:
        return "is no convolution of images"
    if kind == "Gemm" and is_scaled(how):
        return "scales or transposes"
    if kind == "Flatten" and how.get("axis", 1) not in (1, 1 - len(shapes.get(node.input[0], []))):
        return "keeps other axes than that of images"
    return None


def _spell_out_linear(plain: PlainGraph) -> None:
    """Write linear layers as pnnx reads them.

    It takes a bias of one number for each output only, and reads the weights of a Gemm without a bias in the order of
    `transB`: such a Gemm becomes a MatMul.
    """
    from onnx import numpy_helper

    graph = plain.model.graph
    values = constants(graph)
    for node in graph.node:
        if node.op_type != "Gemm":
            continue
        if len(node.input) == 2 and not attributes(node).get("transB"):
            node.op_type = "MatMul"
            del node.attribute[:]
        elif len(node.input) == 3 and node.input[2] in values and node.output[0] in plain.layers:
            outputs = len(plain.layers[node.output[0]].weight)
            bias = values[node.input[2]]
            if bias.shape != (outputs,) and (bias.size == 1 or bias.size == bias.shape[-1] == outputs):
                node.input[2] = new_name("plain_bias", names_in(graph))
                graph.initializer.append(
                    numpy_helper.from_array(np.full(outputs, bias.reshape(-1), bias.dtype), node.input[2])
                )


def _run_pnnx(folder: Path, height: int, width: int, half: bool, name: str) -> None:
    program = pnnx_program()
    if program is None:
        raise ArtifactFailed("pnnx is not installed, which converts graphs for ncnn")
    command = [str(program), "model.onnx", f"inputshape=[1,3,{height},{width}]f32", f"fp16={int(half)}"]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ArtifactFailed(f"pnnx did not convert {name} within {SECONDS // 60} minutes") from None
    if done.returncode or not (folder / PARAM).is_file() or not (folder / WEIGHTS).is_file():
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ArtifactFailed(f"pnnx can't convert {name}: {shorten(said)}")


def _check_layers(param: Path, name: str) -> None:
    """Check that pnnx knew every operation: it writes the others under their own names, which ncnn can't load."""
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}
    if unknown := sorted(kind for kind in kinds if "." in kind or "::" in kind):
        raise ArtifactFailed(f"ncnn can't run {name}: it has no {', '.join(unknown)}")
