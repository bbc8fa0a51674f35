"""Layers in int8 in ncnn's files.

ncnn's own tools (`ncnn2int8`) are not on PyPI, and would choose ranges of their own. This writes the same form from the
weights and ranges of the graph, which the gate on accuracy has seen. A layer takes float, quantises it with one scale,
computes in int8, and gives float again; where all that read a layer are int8 layers, it gives int8 (`REQUANTISED`).

Sources: ncnn, tools/quantize/ncnn2int8.cpp; src/modelbin.cpp on tags; src/layer/convolution.cpp,
convolutiondepthwise.cpp and innerproduct.cpp on parameters and the order of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from targets.errors import ArtifactFailed
from targets.plain_graph import Layer

FLOAT_TAG = np.uint32(0).tobytes()
INT8_TAG = np.uint32(0x000D4B38).tobytes()
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
TERM = "8"  # key of int8_scale_term
TERMS = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}  # its value
REQUANTISED = 100  # is added to it
TINY = 1e-30  # a channel of zeros has no step


@dataclass
class _Line:
    """A line of the parameters."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    values: dict[str, str]

    @classmethod
    def read(cls, line: str) -> _Line:
        words = line.split()
        many, more = int(words[2]), int(words[3])
        blobs, values = words[4 : 4 + many + more], words[4 + many + more :]
        return cls(words[0], words[1], blobs[:many], blobs[many:], dict(one.split("=", 1) for one in values))

    @property
    def text(self) -> str:
        """The line, as ncnn reads it."""
        counts = [str(len(self.inputs)), str(len(self.outputs))]
        return " ".join(
            [self.kind, self.name, *counts, *self.inputs, *self.outputs, *map("=".join, self.values.items())]
        )

    @property
    def weights(self) -> int:
        """Number of its weights."""
        return int(self.values["2" if self.kind == "InnerProduct" else "6"])

    @property
    def channels(self) -> int:
        """Number of its outputs, which is that of its biases."""
        return int(self.values["0"])

    @property
    def biased(self) -> bool:
        return self.values.get("1" if self.kind == "InnerProduct" else "5") == "1"

    @property
    def grouped(self) -> bool:
        """Whether it is a grouped convolution and not a depthwise one, for which ncnn's int8 kernel gives NaN."""
        wide = int(self.values.get("1", "1"))
        kernel = wide * int(self.values.get("11", wide))
        return self.kind == "ConvolutionDepthWise" and self.weights != self.channels * kernel


def quantize(param: Path, weights: Path, layers: Sequence[Layer]) -> None:
    """Change ncnn's files so that layers compute in int8. Those for which ncnn has no int8 kernel stay in float.

    Args:
        param, weights: as pnnx wrote them, in float32.
        layers: all of the graph with constant weights.

    Raises:
        ArtifactFailed: the files are not those of the graph, or ncnn has no int8 kernel for any layer.
    """
    lines = param.read_text().splitlines()
    head, found = lines[:2], [_Line.read(line) for line in lines[2:] if line.strip()]
    content, parts, at = weights.read_bytes(), [], 0
    placed = _placed(found, content, layers)
    chosen = [one for one in placed if one[1].scales is not None and not one[0].grouped]
    if not chosen:
        raise ArtifactFailed("ncnn has no int8 kernel for any layer of this graph")
    inputs = {id(line): layer.input_scale for line, layer, _ in chosen}
    for line, layer, start in chosen:
        bias = start + 4 + 4 * layer.weight.size
        end = bias + (4 * line.channels if line.biased else 0)
        step = _next_step(found, line, inputs)
        line.values[TERM] = str(TERMS[line.kind] + (REQUANTISED if step else 0))
        parts += [content[at:start], _in_int8(layer, content[bias:end], step)]
        at = end
    weights.write_bytes(b"".join([*parts, content[at:]]))
    param.write_text("\n".join([*head, *(line.text for line in found)]) + "\n")


def _placed(found: Sequence[_Line], content: bytes, layers: Sequence[Layer]) -> list[tuple[_Line, Layer, int]]:
    """The line of each layer, and where its weights begin in the file.

    pnnx gives the layers names of its own. So a layer is found by its weights, and its line by the order, which is that
    of the file.
    """
    starts: list[tuple[int, Layer]] = []
    before: dict[bytes, int] = {}  # equal weights follow one another
    for layer in layers:
        sought = FLOAT_TAG + layer.weight.tobytes()
        if (start := content.find(sought, before.get(sought, 0))) >= 0:
            before[sought] = start + len(sought)
            starts.append((start, layer))
    starts.sort(key=lambda one: one[0])
    lines = [line for line in found if line.kind in TERMS]
    if [line.weights for line in lines] != [layer.weight.size for _, layer in starts]:
        raise ArtifactFailed("pnnx changed the weights of this graph's layers, so they can't be computed in int8")
    return [(line, layer, start) for line, (start, layer) in zip(lines, starts, strict=True)]


def _next_step(found: Sequence[_Line], line: _Line, inputs: Mapping[int, float | None]) -> float | None:
    """Step of the int8 convolutions that alone read a convolution's output; none if others read it too."""
    if line.kind not in CONVOLUTIONS:
        return None
    blobs, readers = [line.outputs[0]], []
    while blobs:
        blob = blobs.pop()
        reading = [one for one in found if blob in one.inputs]
        if not reading:  # an output of the network
            return None
        for one in reading:
            if one.kind == "Split":
                blobs += one.outputs
            else:
                readers.append(one)
    steps = {inputs.get(id(one)) if one.kind in CONVOLUTIONS else None for one in readers}
    return steps.pop() if len(steps) == 1 else None


def _in_int8(layer: Layer, bias: bytes, step: float | None) -> bytes:
    """A layer's part of the file: weights, bias, scales of weights and input, and of the output if it is int8."""
    assert layer.scales is not None
    assert layer.input_scale is not None
    scales = layer.scales
    rows = layer.weight.reshape(len(scales), -1)
    whole = np.clip(np.rint(rows / np.maximum(scales, TINY)[:, None]), -127, 127).astype(np.int8).tobytes()
    facts = [1 / np.maximum(scales, TINY), 1 / layer.input_scale, *([1 / step] if step else [])]
    told = [np.asarray(one, np.float32).tobytes() for one in facts]
    return b"".join([INT8_TAG, whole, bytes(-len(whole) % 4), bias, *told])
