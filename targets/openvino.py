"""OpenVINO: Intel and ARM CPUs, Intel GPUs and NPUs. Artifacts: model.xml and model.bin."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable, first_line
from targets.settings import Activations, Precision, TargetSettings, WeightBits, read_options

logger = logging.getLogger("zoo.targets")

ARTIFACT = "model.xml"
HINTS = ("latency", "throughput")
HALF = ["zoo", "half"]  # metadata that allows a model to be computed in fp16
DRIVERS = {"GPU": "Run: apt install intel-opencl-icd", "NPU": "Install Intel's NPU driver (intel-driver-compiler-npu)"}


@dataclass(frozen=True)
class Options:
    """Options of OpenVINO: its `PERFORMANCE_HINT`."""

    hint: str = "latency"

    def __post_init__(self) -> None:
        if self.hint not in HINTS:
            raise ValueError(f"hint must be {' or '.join(HINTS)}, not {self.hint!r}")


class OpenVino:
    """One device of OpenVINO."""

    distribution: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    activations: ClassVar[Activations] = "symmetric"
    compiles_ahead: ClassVar[bool] = False
    gpu_bus_id: ClassVar[str | None] = None  # its GPUs are from Intel

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings
        self.options = read_options(Options, settings)
        self.arm64 = settings.device == "CPU"
        self.weight_bits: WeightBits = 7 if settings.device == "CPU" else 8

    def check(self) -> str:
        """See `Target.check`."""
        version = runtime_version(self)
        try:
            import openvino

            devices = openvino.Core().available_devices
        except (ImportError, RuntimeError) as error:
            raise Unusable(
                f"OpenVINO {version} does not start: {first_line(error)}", "Reinstall it for this machine."
            ) from None
        if self.settings.device.split(".")[0] not in {device.split(".")[0] for device in devices}:
            raise Unusable(
                f"OpenVINO {version} sees no device {self.settings.device} here (it sees {', '.join(devices)})",
                f"{DRIVERS.get(self.settings.device, 'Install its driver')}, or set `device:` to one of these.",
            )
        return f"OpenVINO {version} on {self.settings.device}"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:  # noqa: ARG002 - takes any batch
        """See `Target.compile`. Weights keep the graph's precision."""
        import openvino

        try:
            model = openvino.Core().read_model(graph)
        except RuntimeError as error:
            raise ArtifactFailed(f"OpenVINO refuses {graph.name}: {first_line(error, -1)}") from None
        half = any(
            node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.f16
            for node in model.get_ops()
        )
        model.set_rt_info("yes" if half else "no", HALF)
        try:
            openvino.save_model(model, folder / ARTIFACT, compress_to_fp16=False)
        except RuntimeError as error:
            _try_to_write(folder, graph.stat().st_size)
            raise ArtifactFailed(f"OpenVINO can't convert {graph.name}: {first_line(error, -1)}") from None

    def load(self, folder: Path, cache: Path | None = None) -> Session:
        """See `Target.load`. Computes in the graph's precision, not in the device's preferred one."""
        import openvino

        core = openvino.Core()
        options: dict[str, Any] = {"PERFORMANCE_HINT": self.options.hint.upper()}
        if self.settings.device == "CPU":
            options["INFERENCE_NUM_THREADS"] = thread_count(self.settings)
        if cache:
            options["CACHE_DIR"] = str(cache)
        try:
            model = core.read_model(folder / ARTIFACT)
            half = model.has_rt_info(HALF) and model.get_rt_info(HALF).astype(str) == "yes"
            # Asked for f16, a CPU without it computes in bf16, which is coarser.
            half = half and "FP16" in core.get_property(self.settings.device, "OPTIMIZATION_CAPABILITIES")
            options["INFERENCE_PRECISION_HINT"] = "f16" if half else "f32"
            logger.debug("OpenVINO %s on %s: %s", openvino.__version__, self.settings.device, options)
            return _Session(core.compile_model(model, self.settings.device, options))
        except RuntimeError as error:
            raise ArtifactFailed(f"OpenVINO can't load {folder / ARTIFACT}: {first_line(error, -1)}") from None


def _try_to_write(folder: Path, size: int) -> None:
    """Check, since OpenVINO does not say, whether the system refuses to write this many bytes.

    Raises:
        OSError: it does.
    """
    with TemporaryFile(dir=folder) as file:
        file.write(bytes(size))


class _Session:
    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self._request = compiled.create_infer_request()
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        try:
            outputs = self._request.infer([images], share_inputs=True)
        except RuntimeError as error:  # its first lines are locations in OpenVINO
            given = "×".join(map(str, images.shape))
            raise ArtifactFailed(f"OpenVINO can't run on {images.dtype} {given}: {first_line(error, -1)}") from None
        self.compute_ms = self._request.latency
        return np.array(outputs[0], np.float32)
