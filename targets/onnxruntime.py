"""ONNX Runtime: CPUs, and NVIDIA GPUs by its CUDA and TensorRT providers. Artifact: model.onnx, unchanged."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable, first_line
from targets.nvidia.cuda import pci_bus_id
from targets.settings import Activations, Precision, TargetSettings, WeightBits, read_options

logger = logging.getLogger("zoo.targets")

ARTIFACT = "model.onnx"
PROVIDERS = {
    "CPU": "CPUExecutionProvider",
    "CUDA": "CUDAExecutionProvider",
    "TensorRT": "TensorrtExecutionProvider",
}
# The smallest valid graph, one float in and out, to test whether a provider starts.
ONE_NODE = bytes.fromhex(
    "08083a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a001012"
)


@dataclass(frozen=True)
class Options:
    """Options of a target.

    Attributes:
        int8_kernels: whether int8 graphs run in int8 kernels. Otherwise operations between DQ and Q run in float, as
            ONNX defines them: slower, and the same on every processor.
    """

    int8_kernels: bool = True


class OnnxRuntime:
    """One execution provider of ONNX Runtime. On x86 its int8 kernels need uint8 activations."""

    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    compiles_ahead: ClassVar[bool] = False

    def __init__(self, settings: TargetSettings) -> None:
        self.settings, self.options = settings, read_options(Options, settings)
        on_cpu = settings.device == "CPU"
        self.distribution = self.extra = "onnxruntime" if on_cpu else "onnxruntime-gpu"
        self.activations: Activations = "asymmetric" if on_cpu else "symmetric"
        self.weight_bits: WeightBits = 7 if on_cpu else 8
        self.arm64 = on_cpu

    @property
    def gpu_bus_id(self) -> str | None:
        """See `Target.gpu_bus_id`. By default its providers compute on CUDA's first GPU."""
        return None if self.settings.device == "CPU" else pci_bus_id(0)

    def check(self) -> str:
        """See `Target.check`. Loads a graph of one node, since a provider of this build may still fail to start."""
        provider = PROVIDERS.get(self.settings.device)
        if provider is None:
            raise Unusable(
                f"ONNX Runtime supports {', '.join(PROVIDERS)} here, not {self.settings.device}",
                "Set `device: CPU` in the target.",
            )
        version = runtime_version(self)
        try:
            import onnxruntime
        except ImportError as error:
            why = f"ONNX Runtime {version} does not start: {first_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None
        if provider not in onnxruntime.get_available_providers():
            raise Unusable(f"this build of ONNX Runtime {version} has no {provider}", "Install one that does.")
        self._session(ONE_NODE)
        return f"ONNX Runtime {version} on {self.settings.device}"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:  # noqa: ARG002 - takes any batch
        """See `Target.compile`. The graph is the artifact; the runtime optimises it when it loads."""
        shutil.copyfile(graph, folder / ARTIFACT)
        self.load(folder)

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it has no cache
        """See `Target.load`."""
        try:
            return _Session(self._session(folder / ARTIFACT))
        except Unusable:
            raise
        except Exception as error:  # noqa: BLE001 - its exceptions have no public common base class
            raise ArtifactFailed(f"ONNX Runtime can't load {folder / ARTIFACT}: {first_line(error)}") from None

    def _session(self, graph: Path | bytes) -> Any:
        """A session of a graph on the target's provider.

        Raises:
            Unusable: another provider runs it: ONNX Runtime falls back to the CPU without an error.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count(self.settings)
        if not self.options.int8_kernels:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        provider = PROVIDERS[self.settings.device]
        session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        running = session.get_providers()
        logger.debug(
            "ONNX Runtime %s: asked for %s, got %s, %d threads",
            onnxruntime.__version__, provider, running, options.intra_op_num_threads,
        )  # fmt: skip
        if provider not in running:
            raise Unusable(
                f"ONNX Runtime's {provider} does not start here: {', '.join(running)} would compute in its place",
                "Install the CUDA and cuDNN that this onnxruntime-gpu needs (see its message above), or set "
                "`device: CPU` in the target.",
            )
        session.disable_fallback()  # also later, when a call fails
        return session


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
            raise ArtifactFailed(f"ONNX Runtime can't run on {images.dtype} {given}: {first_line(error)}") from None
        embeddings: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        return embeddings
