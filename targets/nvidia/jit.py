"""Features of TensorRT-RTX only: kernels that are compiled when an engine is loaded, and checks of an engine's header.

Sources: TensorRT-RTX documentation, "Working with Runtime Cache", "Working with Dynamic Shapes" and
"Engine Compatibility".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from targets.errors import ArtifactFailed, ForeignEngine
from targets.nvidia.cache import read_cache, write_cache
from targets.nvidia.engine import AGAIN
from targets.nvidia.log import make_log


def compiles_at_load(trt: Any) -> bool:
    """Whether this runtime is TensorRT-RTX."""
    return hasattr(trt, "IRuntimeCache")


class Kernels:
    """Kernels compiled for the GPU that an engine is loaded on, kept in a file across processes.

    Kernels are compiled for the current shape before the engine runs. Compiled in the background, as by default, they
    would change during a measurement.
    """

    def __init__(self, trt: Any, engine: Any, path: Path | None) -> None:
        self.settings = engine.create_runtime_config()
        self.settings.dynamic_shapes_kernel_specialization_strategy = (
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        self._path, self._kept = path, self.settings.create_runtime_cache()
        content = read_cache(path) if path else b""
        if content:
            self._kept.deserialize(content)  # refuses content of another GPU, driver or version, and stays empty
        self.settings.set_runtime_cache(self._kept)

    def save(self) -> None:
        """Write the kernels compiled so far."""
        if self._path:
            write_cache(self._path, bytes(self._kept.serialize()))


def header_faults(trt: Any, plan: bytes) -> list[str]:
    """Why an engine can't run here, by its header alone: names of `EngineInvalidityDiagnostics`.

    Without a GPU no engine fits, and only `MALFORMED_ENGINE` is detected.
    """
    runtime = trt.Runtime(make_log(trt))
    validity, faults = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return []
    return [name for name, bit in trt.EngineInvalidityDiagnostics.__members__.items() if faults & int(bit)]


def check_header(trt: Any, plan: bytes) -> None:
    """Check an engine's header on the GPU that will run it.

    Raises:
        ForeignEngine: it is for another GPU, or from another release.
        ArtifactFailed: it can't run for another reason.
    """
    faults = header_faults(trt, plan)
    if faults:
        what = f"{trt.__name__} {trt.__version__} refuses this engine: {', '.join(faults).lower().replace('_', ' ')}."
        if {*faults} <= {"VERSION_MISMATCH", "UNSUPPORTED_CC"}:
            raise ForeignEngine(f"{what}\n{AGAIN}")
        raise ArtifactFailed(f"{what} Update NVIDIA's driver, free memory of the GPU, or compile it again.")
