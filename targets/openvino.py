"""OpenVINO: Intel and ARM CPUs, Intel GPUs and NPUs. Artifacts: model.xml and model.bin."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from targets.contract import Session, TargetSettings, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable

ARTIFACT = "model.xml"
DRIVERS = {"GPU": "Run: apt install intel-opencl-icd", "NPU": "Install Intel's NPU driver (intel-driver-compiler-npu)"}


class OpenVino:
    """One device of OpenVINO, tuned for latency."""

    distribution: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings

    def check(self) -> str:
        """See `Target.check`."""
        version = runtime_version(self)
        try:
            import openvino

            devices = openvino.Core().available_devices
        except (ImportError, RuntimeError) as error:
            raise Unusable(f"OpenVINO {version} does not start: {error}", "Reinstall it for this machine.") from None
        if self.settings.device.split(".")[0] not in {device.split(".")[0] for device in devices}:
            raise Unusable(
                f"OpenVINO {version} sees no device {self.settings.device} here (it sees {', '.join(devices)})",
                f"{DRIVERS.get(self.settings.device, 'Install its driver')}, or set `device:` to one of these.",
            )
        return f"OpenVINO {version} on {self.settings.device}"

    def compile(self, graph: Path, folder: Path) -> None:
        """See `Target.compile`. Weights keep the graph's precision."""
        import openvino

        try:
            model = openvino.Core().read_model(graph)
        except RuntimeError as error:
            raise ArtifactFailed(f"OpenVINO refuses {graph.name}: {str(error).strip().splitlines()[-1]}") from None

        try:
            openvino.save_model(model, folder / ARTIFACT, compress_to_fp16=False)
        except RuntimeError as error:  # it only writes here, and does not say what the system said
            raise OSError(errno.ENOSPC, f"OpenVINO could not write: {error}", str(folder)) from None

    def load(self, folder: Path) -> Session:
        """See `Target.load`. Computes in the precision of the graph, not in one that the CPU happens to be fast in."""
        import openvino

        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if self.settings.device == "CPU":
            options["INFERENCE_NUM_THREADS"] = thread_count(self.settings)
        try:
            return _Session(openvino.Core().compile_model(folder / ARTIFACT, self.settings.device, options))
        except RuntimeError as error:
            raise ArtifactFailed(f"OpenVINO can't load {folder / ARTIFACT}: {str(error).strip()[:200]}") from None


class _Session:
    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def embed(self, images: np.ndarray) -> np.ndarray:
        outputs = self._request.infer([images], share_inputs=True)
        return np.array(outputs[0], np.float32)
