"""ONNX Runtime: CPUs; NVIDIA GPUs by its CUDA and TensorRT providers. Artifact: model.onnx, as it was made."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable, one_line
from targets.settings import Activations, Precision, TargetSettings, read_options

ARTIFACT = "model.onnx"
PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
}


@dataclass(frozen=True)
class Options:
    """ONNX Runtime has no settings of its own here."""


class OnnxRuntime:
    """One execution provider of ONNX Runtime. On x86 its int8 kernels want uint8 activations."""

    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    compiles_ahead: ClassVar[bool] = False

    def __init__(self, settings: TargetSettings) -> None:
        read_options(Options, settings)
        self.settings = settings
        on_cpu = settings.device == "CPU"
        self.distribution = self.extra = "onnxruntime" if on_cpu else "onnxruntime-gpu"
        self.activations: Activations = "asymmetric" if on_cpu else "symmetric"

    def check(self) -> str:
        """See `Target.check`."""
        provider = PROVIDERS.get(self.settings.device)
        if provider is None:
            raise Unusable(
                f"ONNX Runtime is used on {', '.join(PROVIDERS)} only, not on {self.settings.device}",
                "Set `device: CPU` in the target.",
            )
        version = runtime_version(self)
        try:
            import onnxruntime
        except ImportError as error:
            why = f"ONNX Runtime {version} does not start: {one_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None
        if provider not in onnxruntime.get_available_providers():
            raise Unusable(f"this build of ONNX Runtime {version} has no {provider}", "Install one that does.")
        return f"ONNX Runtime {version} on {self.settings.device}"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:  # noqa: ARG002 - takes any batch
        """See `Target.compile`. The graph is the artifact; the runtime optimises it when it loads."""
        shutil.copyfile(graph, folder / ARTIFACT)
        self.load(folder)

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it keeps none
        """See `Target.load`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(self.settings)
        try:
            providers = [PROVIDERS[self.settings.device]]
            return _Session(onnxruntime.InferenceSession(folder / ARTIFACT, options, providers=providers))
        except Exception as error:  # noqa: BLE001 - its exception classes have no public common base
            raise ArtifactFailed(f"ONNX Runtime can't load {folder / ARTIFACT}: {one_line(error)}") from None


class _Session:
    def __init__(self, session: Any) -> None:
        self._session, self._binding = session, session.io_binding()
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        try:
            self._binding.bind_cpu_input(self._input, images)
            self._binding.bind_output(self._output)
            self._binding.synchronize_inputs()
            begun = perf_counter()
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
            self.compute_ms = 1000 * (perf_counter() - begun)
        except Exception as error:  # noqa: BLE001 - as in `load`
            given = "×".join(map(str, images.shape))
            raise ArtifactFailed(f"ONNX Runtime can't run on {images.dtype} {given}: {one_line(error)}") from None
        embeddings: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        return embeddings
