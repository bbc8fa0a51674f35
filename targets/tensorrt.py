"""TensorRT 10 and 11 and TensorRT-RTX: NVIDIA GPUs, including Jetsons. Artifacts: model.engine and engine.json.

An engine is specific to the GPU and the release that built it, so TensorRT compiles on the device. TensorRT-RTX can
also build ahead of time, for several GPU generations and without a GPU; kernels are then compiled when it is loaded.
"""

from __future__ import annotations

import importlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from targets.contract import Job, Session, runtime_version
from targets.errors import ArtifactFailed, Unusable, first_line
from targets.nvidia.build import build_plan
from targets.nvidia.cuda import Gpu, find_gpu, pci_bus_id, use
from targets.nvidia.engine import AGAIN, ENGINE, EngineRecord, Place, check_fit, read_engine, write_engine
from targets.nvidia.jit import header_faults
from targets.nvidia.session import EngineSession, open_engine
from targets.settings import Activations, Precision, TargetSettings, read_options

logger = logging.getLogger("zoo.targets")

GENERATIONS = (75, 80, 86, 89, 120, 121)  # SM numbers that TensorRT-RTX can build for ahead of time

TEGRA = Path("/etc/nv_tegra_release")  # marks a Jetson, where TensorRT is part of the system
JETPACK = "Run: sudo apt install python3-libnvinfer (a virtual environment needs --system-site-packages to see it)."


@dataclass(frozen=True)
class Options:
    """Options of TensorRT.

    Attributes:
        tf32: lets fp32 layers compute in TF32: several times faster on tensor cores, but not full fp32.
    """

    tf32: bool = False


@dataclass(frozen=True)
class RtxOptions(Options):
    """Options of TensorRT-RTX.

    Attributes:
        capabilities: SM numbers of the GPUs to build for; None: only this machine's GPU. Default: Ampere and later.
    """

    capabilities: tuple[int, ...] = GENERATIONS[1:]

    def __post_init__(self) -> None:
        unknown = [str(sm) for sm in self.capabilities if sm not in GENERATIONS]
        if unknown:
            known = ", ".join(map(str, GENERATIONS))
            raise ValueError(f"capabilities: TensorRT-RTX can't build for SM {', '.join(unknown)}, only for {known}")


class TensorRt:
    """One GPU with TensorRT. `device` is GPU, or GPU.1 and so on if there are several."""

    distribution: ClassVar[str] = "tensorrt"
    extra: ClassVar[str] = "tensorrt"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    activations: ClassVar[Activations] = "symmetric"
    title: ClassVar[str] = "TensorRT"
    package: ClassVar[str] = "tensorrt"

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings
        self.options = self._read_options()

    def _read_options(self) -> Options:
        return read_options(Options, self.settings)

    @property
    def compiles_ahead(self) -> bool:
        """See `Target.compiles_ahead`."""
        return False

    @property
    def gpu_bus_id(self) -> str | None:
        """See `Target.gpu_bus_id`."""
        return pci_bus_id(self._number())

    def check(self) -> str:
        """See `Target.check`."""
        trt, gpu = self._runtime(), self._gpu()
        return f"{self.title} {trt.__version__} on {gpu.name} (SM {gpu.sm})"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. The engine is optimised for the job's smallest batch."""
        trt, gpu = self._runtime(), self._gpu()
        place = self._place(trt, gpu)
        use(gpu)
        timing = job.cache / f"{self.package}-{trt.__version__}-sm{gpu.sm}.timing" if job.cache else None
        plan = build_plan(trt, graph, job, tf32=self.options.tf32, timing=timing)
        write_engine(folder, plan.content, place, (gpu.sm,), plan.flags, plan.batches)

    def load(self, folder: Path, cache: Path | None = None) -> Session:
        """See `Target.load`.

        Raises:
            ForeignEngine: it was built for another GPU, or by another release.
        """
        trt, gpu, record, engine = self._open(folder)
        logger.debug("%s %s on %s (SM %s), cache %s", self.title, trt.__version__, gpu.name, gpu.sm, cache)
        kernels = cache / f"{self.package}-{record.sha256[:16]}-sm{gpu.sm}.kernels" if cache else None
        return EngineSession(trt, engine, gpu, kernels)

    def check_form(self, folder: Path) -> EngineRecord:
        """Check what needs no GPU: the side file, size and sha256.

        Raises:
            ArtifactFailed: the output of `compile` is damaged.
        """
        return read_engine(folder)[0]

    def _open(self, folder: Path) -> tuple[Any, Gpu, EngineRecord, Any]:
        record, content = read_engine(folder)
        trt, gpu = self._runtime(), self._gpu()
        check_fit(record, self._place(trt, gpu))
        use(gpu)
        return trt, gpu, record, open_engine(trt, content)

    def _runtime(self) -> Any:
        try:
            version = runtime_version(self)
        except Unusable as error:
            raise (Unusable(error.why, JETPACK) if TEGRA.exists() else error) from None
        try:
            return importlib.import_module(self.package)
        except (ImportError, OSError) as error:
            why = f"{self.title} {version} does not start: {first_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None

    def _number(self) -> int:
        """CUDA's index of the GPU."""
        device = re.fullmatch(r"GPU(?:\.(\d+))?", self.settings.device)
        if device is None:
            raise Unusable(
                f"{self.title} runs on GPU (GPU.1 is the second one), not on {self.settings.device}",
                "Set `device: GPU` in the target.",
            )
        return int(device[1] or 0)

    def _gpu(self) -> Gpu:
        return find_gpu(self._number())

    def _place(self, trt: Any, gpu: Gpu | None) -> Place:
        if gpu is None:
            return Place(self.package, trt.__version__)
        return Place(self.package, trt.__version__, gpu.name, gpu.sm, gpu.driver, gpu.cuda)


class TensorRtRtx(TensorRt):
    """One GPU with TensorRT-RTX; without a GPU, a compiler for it."""

    distribution: ClassVar[str] = "tensorrt_rtx_cu13"
    extra: ClassVar[str] = "tensorrt-rtx"
    title: ClassVar[str] = "TensorRT-RTX"
    package: ClassVar[str] = "tensorrt_rtx"
    options: RtxOptions

    def _read_options(self) -> RtxOptions:
        return read_options(RtxOptions, self.settings)

    @property
    def compiles_ahead(self) -> bool:
        """See `Target.compiles_ahead`. False if the settings name no GPU to build for."""
        return bool(self.options.capabilities)

    def _gpu(self) -> Gpu:
        """The GPU here. For an unlisted generation, TensorRT-RTX builds an engine that it then refuses to load."""
        gpu, trt = super()._gpu(), self._runtime()
        known = [int(name[2:]) for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
        if gpu.sm not in known:
            raise Unusable(
                f"{self.title} {trt.__version__} does not support {gpu.name} (SM {gpu.sm}), only "
                f"SM {', '.join(map(str, known))}",
                "Use a target with `runtime: tensorrt` or `onnxruntime` there.",
            )
        return gpu

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        trt = self._runtime()
        if not self.options.capabilities:
            gpu = self._gpu()
            return f"{self.title} {trt.__version__} for {gpu.name} (SM {gpu.sm})"
        return f"{self.title} {trt.__version__} for SM {', '.join(map(str, self.options.capabilities))}"

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. Needs no GPU if the settings name the GPUs to build for."""
        trt, wanted = self._runtime(), tuple(dict.fromkeys(self.options.capabilities))
        try:
            gpu = self._gpu()
        except Unusable:
            if not wanted:
                raise
            gpu = None
        if gpu:
            use(gpu)
        names = tuple(f"SM{sm}" for sm in wanted) or ("CURRENT",)
        plan = build_plan(trt, graph, job, names, self.options.tf32)
        built_for = wanted or ((gpu.sm,) if gpu else ())
        write_engine(folder, plan.content, self._place(trt, gpu), built_for, plan.flags, plan.batches)
        self.check_form(folder)

    def check_form(self, folder: Path) -> EngineRecord:
        """See `TensorRt.check_form`; also checks the engine's header."""
        trt = self._runtime()
        record, content = read_engine(folder)
        if "MALFORMED_ENGINE" in header_faults(trt, content):
            raise ArtifactFailed(f"{folder / ENGINE} is not an engine of {self.title} {trt.__version__}. {AGAIN}")
        return record
