"""LiteRT on the CPU, by its XNNPACK kernels. Artifact: model.tflite, the same on every board."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.carried import library_version
from targets.contract import Job, Session, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable, first_line
from targets.installing import install_command
from targets.notices import without_notices
from targets.settings import Activations, Precision, TargetSettings, read_options

ARTIFACT = "model.tflite"


@dataclass(frozen=True)
class Options:
    """LiteRT has no options here."""


class LiteRt:
    """LiteRT's CPU kernels."""

    distribution: ClassVar[str] = "ai-edge-litert"
    extra: ClassVar[str] = "litert"
    converters: ClassVar[tuple[str, ...]] = ("flatbuffers", "onnx")
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    activations: ClassVar[Activations] = "symmetric"
    compiles_ahead: ClassVar[bool] = False
    portable: ClassVar[bool] = True
    arm64: ClassVar[bool] = True
    gpu_bus_id: ClassVar[str | None] = None  # its GPU delegate is not used

    def __init__(self, settings: TargetSettings) -> None:
        read_options(Options, settings)
        self.settings = settings

    def check(self) -> str:
        """See `Target.check`."""
        if self.settings.device != "CPU":
            raise Unusable(
                f"LiteRT runs on CPU here, not on {self.settings.device}", "Set `device: CPU` in the target."
            )
        version = runtime_version(self)
        try:
            from ai_edge_litert import interpreter  # noqa: F401 - only the import is tested
        except ImportError as error:
            why = f"LiteRT {version} does not start: {first_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None
        return f"LiteRT {version} on CPU"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`. The schema of its files is in LiteRT's package."""
        names = {"ai-edge-litert": "ai_edge_litert", "flatbuffers": "flatbuffers", "onnx": "onnx"}
        if missing := [name for name, module in names.items() if not find_spec(module)]:
            raise Unusable(
                f"{' and '.join(missing)} not installed, which LiteRT's artifacts are made with",
                f"Run: {install_command(self.extra)}",
            )
        return f"flatbuffers {library_version('flatbuffers')} for LiteRT"

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
        except (ValueError, RuntimeError, OSError) as error:
            raise ArtifactFailed(f"LiteRT can't load {path}: {first_line(error)}") from None
        return _Session(interpreter)


class _Session:
    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
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
