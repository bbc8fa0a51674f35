"""A `.tflite` file, written operation by operation in the schema that LiteRT's own package contains.

Tensors that depend on the images have a batch of any size: shape 1, signature −1.

Source: the schema of TensorFlow Lite, `tensorflow/compiler/mlir/lite/schema/schema.fbs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

VERSION = 3  # of the file format
IDENTIFIER = b"TFL3"
# Versions of operations, with which older runtimes refuse what they do not know; 1 where none is given.
VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2, "MUL": 2, "MEAN": 2, "SUM": 2, "PAD": 2,
    "PADV2": 2, "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2, "DEQUANTIZE": 3, "RELU": 2, "RELU6": 2, "CONCATENATION": 2,
    "SLICE": 2, "MAXIMUM": 2, "MINIMUM": 2, "LOGISTIC": 2,
}  # fmt: skip


class FlatWriter:
    """A file with one graph. Tensors are numbered from 0 in the order in which they are added."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._types = {
            np.dtype(np.float32): schema.TensorType.FLOAT32, np.dtype(np.float16): schema.TensorType.FLOAT16,
            np.dtype(np.int8): schema.TensorType.INT8, np.dtype(np.uint8): schema.TensorType.UINT8,
            np.dtype(np.int32): schema.TensorType.INT32,
        }  # fmt: skip
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first is that of tensors without data
        self._codes: dict[str, int] = {}
        self._operators: list[Any] = []

    def tensor(
        self,
        name: str,
        kind: type,
        shape: Sequence[int],
        scales: Sequence[float] | None = None,
        axis: int = 0,
        data: np.ndarray | None = None,
        fixed: bool = False,
    ) -> int:
        """Add a tensor; return its number.

        Args:
            kind: numpy's type of its values.
            shape: with a batch of 1.
            scales: steps of an int8 tensor: one, or one per index of `axis`. Zero points are 0.
            data: of a constant.
            fixed: whether it is a constant without data, which an operation computes.
        """
        one = self._schema.TensorT()
        one.name, one.shape, one.type = name, [int(size) for size in shape], self._types[np.dtype(kind)]
        if data is None and not fixed:
            one.shapeSignature = [-1, *one.shape[1:]]
        if data is not None:
            one.buffer = len(self._buffers)
            self._buffers.append(buffer := self._schema.BufferT())
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
        if scales is not None:
            one.quantization = facts = self._schema.QuantizationParametersT()
            facts.scale = [float(scale) for scale in scales]
            facts.zeroPoint = [0] * len(scales)
            facts.quantizedDimension = axis
        self._tensors.append(one)
        return len(self._tensors) - 1

    def constant(self, name: str, data: np.ndarray, scales: Sequence[float] | None = None, axis: int = 0) -> int:
        """Add a constant; return its number."""
        return self.tensor(name, data.dtype.type, data.shape, scales, axis, data)

    def operate(self, code: str, inputs: Sequence[int], output: int, options: str = "", **values: Any) -> None:
        """Add an operation.

        Args:
            code: its name in the schema's `BuiltinOperator`.
            options: name of its options in the schema, without `Options`; `values` are their fields.
        """
        one = self._schema.OperatorT()
        one.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        one.inputs, one.outputs = [*inputs], [output]
        if options:
            one.builtinOptionsType = getattr(self._schema.BuiltinOptions, f"{options}Options")
            one.builtinOptions = getattr(self._schema, f"{options}OptionsT")()
            for name, value in values.items():
                setattr(one.builtinOptions, name, value)
        self._operators.append(one)

    def activation(self, name: str) -> int:
        """Number of a fused activation: NONE, RELU, RELU6."""
        return int(getattr(self._schema.ActivationFunctionType, name))

    def padding(self, same: bool) -> int:
        """Number of a padding: SAME or VALID."""
        return int(self._schema.Padding.SAME if same else self._schema.Padding.VALID)

    def finish(self, source: int, result: int) -> bytes:
        """The file, with the numbers of its input and output."""
        import flatbuffers

        schema = self._schema
        graph, model, signature = schema.SubGraphT(), schema.ModelT(), schema.SignatureDefT()
        graph.name, graph.tensors, graph.operators = "main", self._tensors, self._operators
        graph.inputs, graph.outputs = [source], [result]
        codes = []
        for name in self._codes:
            codes.append(code := schema.OperatorCodeT())
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version = VERSIONS.get(name, 1)
        ends = []
        for number in (source, result):
            ends.append(end := schema.TensorMapT())
            end.name, end.tensorIndex = self._tensors[number].name, number
        signature.inputs, signature.outputs, signature.signatureKey = [ends[0]], [ends[1]], "serving_default"
        model.version, model.operatorCodes, model.subgraphs = VERSION, codes, [graph]
        model.buffers, model.signatureDefs, model.description = self._buffers, [signature], "zoo"
        builder = flatbuffers.Builder(sum(len(one.data) for one in self._buffers if one.data is not None) + 2**16)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())
