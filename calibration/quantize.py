"""One graph per precision: fp16, and int8 with explicit Q/DQ, made by ONNX Runtime's tools.

Precision belongs to the graph: TensorRT 11 and TensorRT-RTX have only strongly typed networks with explicit Q/DQ. The
int8 graph comes in two kinds that differ in activations; weights are int8, symmetric, per channel in both. They have 7
bits for runtimes that can overflow with 8 (see `targets.contract.weight_bits`).

- `symmetric`: int8 activations with zero point 0, bias in float: parsed by TensorRT, and supported by OpenVINO.
- `asymmetric`: uint8 activations with a zero point: fast in ONNX Runtime's kernels on x86.

A range is the mean over batches of their extremes. With the extremes of all images a single outlier decides, and more
images make it worse (`bench/int8.py`).

Sources: ONNX Runtime, "Quantize ONNX models"; NVIDIA TensorRT documentation, "Working with Quantized Types".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calibration.errors import NotQuantisable
from targets.errors import first_line
from targets.settings import Activations, WeightBits

if TYPE_CHECKING:
    import onnx

LAYERS = ("Conv", "Gemm", "MatMul")  # nearly all of the arithmetic; each gets its own sensitivity
BETWEEN = ("Add", "Mul", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Concat")  # stay in int8
BATCH = 16  # images per minimum and maximum; ranges are the means of these


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tools' advice, on every call, to preprocess the graph, which `export` has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write_half(graph: Path, path: Path) -> None:
    """Write the graph with weights and activations in fp16, and input and output unchanged.

    The first and last operations stay in fp32: fp16 can't represent all pixel values once their mean is subtracted, and
    squares of an embedding that is not normalised yet can exceed 65 504.

    Raises:
        NotQuantisable: the library refuses the graph.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(graph)
    at = [place for place, node in enumerate(model.graph.node) if node.op_type in LAYERS]
    if not at:
        raise NotQuantisable(f"{graph.name} has no convolution or linear layer to convert to fp16.")
    around = [*model.graph.node[: at[0]], *model.graph.node[at[-1] + 1 :]]
    try:
        half = convert_float_to_float16(model, keep_io_types=True, node_block_list=[node.name for node in around])
    except (ValueError, RuntimeError) as error:
        raise NotQuantisable(f"{graph.name} can't be converted to fp16: {first_line(error)}") from None
    _spare_detours(half)
    OnnxModel(half).topological_sort()
    onnx.save(half, path)


def _spare_detours(model: onnx.ModelProto) -> None:
    """Connect float outputs directly to float inputs, where the converter inserts a cast to fp16 and back."""
    from onnx import TensorProto

    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    casts = [node for node in graph.node if node.op_type == "Cast"]
    goal = {node.name: node.attribute[0].i for node in casts}
    direct: dict[str, str] = {}
    for back in casts:
        there = maker.get(back.input[0])
        if goal[back.name] == TensorProto.FLOAT and there is not None and goal.get(there.name) == TensorProto.FLOAT16:
            direct[back.output[0]] = there.input[0]
    for output in graph.output:
        if source := direct.pop(output.name, None):  # the output keeps its name; its producer takes that name
            made = maker[source]
            made.output[list(made.output).index(source)] = output.name
            graph.node.remove(maker[output.name])
            direct = {name: output.name if to == source else to for name, to in direct.items()}
            direct[source] = output.name
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = direct.get(name, name)
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    while unread := [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in read]:
        for node in unread:
            graph.node.remove(node)
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}


class Quantizer:
    """Quantised variants of one graph, with ranges that are observed once.

    Args:
        graph: ONNX with a single input.
        images: uint8 N×H×W×3, on which ranges are observed.
        kind: of activations.
        scratch: a folder for the observed ranges.
        weight_bits: of int8 weights: -127 … 127, or -64 … 64.
    """

    def __init__(
        self, graph: Path, images: np.ndarray, kind: Activations, scratch: Path, weight_bits: WeightBits = 8
    ) -> None:
        import onnx

        model = onnx.load(graph)
        self.graph, self.images, self.kind, self.weight_bits = graph, images, kind, weight_bits
        self.layers = [node.name for node in model.graph.node if node.op_type in LAYERS]
        if not self.layers:
            raise NotQuantisable(f"{graph.name} has no convolution or linear layer, so there is nothing to quantise.")
        constants = {tensor.name for tensor in model.graph.initializer}
        self._others = [
            node.name
            for node in model.graph.node
            if node.op_type in BETWEEN
            and (node.op_type == "ReduceMean" or not constants & {*node.input})  # TensorRT rejects Q/DQ on a scalar
        ]
        self._input = model.graph.input[0].name
        self._ranges = scratch / "ranges.json"
        self._ranges.unlink(missing_ok=True)

    def write(self, path: Path, excluded: Sequence[str] = (), only: str | None = None) -> None:
        """Write the graph with every layer quantised except `excluded`, or with one layer only.

        Raises:
            NotQuantisable: the library refuses the graph.
        """
        from onnxruntime.quantization import QuantType, quantize_static

        symmetric = self.kind == "symmetric"
        nodes = [only] if only else [name for name in (*self.layers, *self._others) if name not in excluded]
        with _quiet():
            try:
                quantize_static(
                    self.graph,
                    path,
                    self._reader(),
                    per_channel=True,
                    reduce_range=self.weight_bits == 7,
                    activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    nodes_to_quantize=nodes,
                    calibration_cache_path=self._ranges,
                    extra_options={
                        "ActivationSymmetric": symmetric,
                        "WeightSymmetric": True,
                        "QuantizeBias": not symmetric,
                        "ForceQuantizeNoInputCheck": True,
                        "CalibMovingAverage": True,
                    },
                )
            except (ValueError, RuntimeError, TypeError) as error:
                raise NotQuantisable(f"{self.graph.name} can't be quantised: {first_line(error)}") from None

    def _reader(self) -> Any:
        from onnxruntime.quantization import CalibrationDataReader

        batches = iter([self.images[start : start + BATCH] for start in range(0, len(self.images), BATCH)])
        name = self._input

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, np.ndarray] | None:
                batch = next(batches, None)
                return None if batch is None else {name: batch}

        return Reader()
