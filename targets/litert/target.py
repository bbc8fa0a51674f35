"""LiteRT on the CPU, by its XNNPACK kernels. Artifact: model.tflite, the same on every board."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, thread_count
from targets.errors import ArtifactFailed, first_line
from targets.notices import without_notices
from targets.on_cpu import OnCpu
from targets.settings import Precision

ARTIFACT = "model.tflite"


class LiteRt(OnCpu):
    """LiteRT's CPU kernels. The schema of its files is in its own package."""

    title: ClassVar[str] = "LiteRT"
    distribution: ClassVar[str] = "ai-edge-litert"
    extra: ClassVar[str] = "litert"
    converters: ClassVar[tuple[str, ...]] = ("flatbuffers", "onnx")
    compiles_by_itself: ClassVar[bool] = True
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    arm64: ClassVar[bool] = True

    def start(self) -> None:
        """See `OnCpu.start`."""
        from ai_edge_litert import interpreter  # noqa: F401 - only the import is tested

    def compile(self, graph: Path, folder: Path, job: Job) -> None:  # noqa: ARG002 - takes any batch
        """See `Target.compile`."""
        from targets.litert.lower import convert

        self.check_compiler()
        (folder / ARTIFACT).write_bytes(convert(graph))
        self.load(folder)

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it has no cache
        """See `Target.load`."""
        from ai_edge_litert.interpreter import Interpreter

        path = folder / ARTIFACT
        try:
            content = path.read_bytes()
            if content[4:8] != b"TFL3":
                raise ValueError("it is not a .tflite file")
            with without_notices():
                interpreter = Interpreter(model_content=content, num_threads=thread_count(self.settings))
                interpreter.allocate_tensors()
            return _Session(interpreter)
        except (ValueError, RuntimeError, OSError) as error:
            raise ArtifactFailed(f"LiteRT can't load {path}: {first_line(error)}") from None


class _Session:
    def __init__(self, interpreter: Any) -> None:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        self._interpreter, (source,), (result,) = interpreter, inputs, outputs
        self._input, self._output = source["index"], result["index"]
        self._shape = tuple(source["shape"])
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        """See `Session.embed`. Another batch size than that of the last call takes longer."""
        try:
            if images.shape != self._shape:
                self._interpreter.resize_tensor_input(self._input, images.shape, strict=True)
                self._interpreter.allocate_tensors()
                self._shape = images.shape
            self._interpreter.set_tensor(self._input, images)
            begun = perf_counter()
            self._interpreter.invoke()
            self.compute_ms = 1000 * (perf_counter() - begun)
        except (ValueError, RuntimeError) as error:
            given = "×".join(map(str, images.shape))
            raise ArtifactFailed(f"LiteRT can't run on {images.dtype} {given}: {first_line(error)}") from None
        embeddings: np.ndarray = self._interpreter.get_tensor(self._output)
        return embeddings
