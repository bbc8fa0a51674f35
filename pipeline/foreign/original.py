"""A foreign file as its authors run it: normalised images in, embeddings out. The reference of what is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.images import Input
from pipeline.errors import ForeignError
from pipeline.foreign.describing import fixed, image_input
from pipeline.foreign.settings import Foreign
from targets.errors import first_line

if TYPE_CHECKING:
    import onnx
    from onnxruntime import InferenceSession


def select_output(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """A copy of a model that gives one value, and has no inputs that are weights."""
    import onnx
    from onnx import TensorProto, helper

    chosen = onnx.ModelProto()
    chosen.CopyFrom(model)
    graph = chosen.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]  # IR 3 lists weights among them
    known = [value for value in (*graph.output, *graph.value_info) if value.name == output]
    del graph.input[:], graph.output[:]
    graph.input.extend(inputs)
    graph.output.extend(known[:1] or [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])
    chosen.ir_version = max(chosen.ir_version, 8)
    return chosen


def open_session(model: onnx.ModelProto, name: str) -> InferenceSession:
    """The model in ONNX Runtime, on the CPU.

    Raises:
        ForeignError: it is refused.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the error is reported once, below
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class
        raise ForeignError(f"ONNX Runtime refuses {name}: {_short(error)}") from None


def _short(error: Exception) -> str:
    return first_line(error)[:200]


def run(session: InferenceSession, images: np.ndarray, name: str) -> np.ndarray:
    """The output of a session for one array.

    Raises:
        ForeignError: it fails.
    """
    try:
        (found,) = session.run(None, {session.get_inputs()[0].name: images})
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class
        raise ForeignError(f"ONNX Runtime can't run {name}: {_short(error)}") from None
    return np.asarray(found)


def as_rows(found: np.ndarray, images: int, name: str, output: str) -> np.ndarray:
    """Embeddings N×D; N×D×1×1 is the same.

    Raises:
        ForeignError: it is not one row of floats per image.
    """
    shape = "×".join(map(str, found.shape)) or "a single number"
    if found.ndim < 2 or len(found) != images or found[0].size != found.shape[1] or found.shape[1] < 2:
        raise ForeignError(
            f"the output {output} of {name} has shape {shape} for {images} images, not a row of numbers for each. "
            "Name the embedding with --output."
        )
    if found.dtype != np.float32:
        raise ForeignError(f"the output {output} of {name} is {found.dtype}, not float32. Name another with --output.")
    return found.reshape(images, -1)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    lengths: np.ndarray = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    result: np.ndarray = rows / lengths
    return result


class Original:
    """A foreign network, run image by image as its authors do.

    Args:
        model: see `pipeline.foreign.reading.read_model`.
        name: of the file, for errors.

    Raises:
        ForeignError: ONNX Runtime refuses it.
    """

    def __init__(self, model: onnx.ModelProto, size: Input, foreign: Foreign, name: str) -> None:
        from onnx import TensorProto

        value = image_input(model, name)
        self._normalises = value.type.tensor_type.elem_type == TensorProto.UINT8
        self.images = fixed(value)[0]  # number per call; None: any
        self._session = open_session(select_output(model, foreign.output), name)
        self._size, self._foreign, self._name = size, foreign, name

    def given(self, images: np.ndarray) -> np.ndarray:
        """What the network takes for uint8 N×H×W×3 RGB."""
        mean, std = (np.array(numbers, np.float32) for numbers in self._size.normalisation)
        pixels = images if self._normalises else ((images / np.float32(255) - mean) / std).astype(np.float32)
        pixels = pixels[..., ::-1] if self._foreign.channels == "BGR" else pixels
        pixels = pixels.transpose(0, 3, 1, 2) if self._foreign.layout == "NCHW" else pixels
        return np.ascontiguousarray(pixels)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Unit embeddings N×D of uint8 N×H×W×3 RGB.

        Raises:
            ForeignError: the network can't run, or its output is no embedding.
        """
        pixels, step = self.given(images), self.images or 1
        rows = []
        for start in range(0, len(pixels), step):
            some = pixels[start : start + step]
            filled = np.concatenate([some, np.repeat(some[-1:], step - len(some), axis=0)])
            found = as_rows(run(self._session, filled, self._name), step, self._name, self._foreign.output)
            rows.append(found[: len(some)])
        return unit(np.concatenate(rows))
