"""TensorRT 10 and 11 and TensorRT-RTX: NVIDIA GPUs, including Jetsons. Artifacts: model.engine and engine.json.

An engine is specific to the board and the release that built it, so TensorRT compiles on the device, and a target says
which releases it takes. TensorRT-RTX can also build ahead of time, for several GPU generations and without a GPU;
kernels are then compiled when it is loaded.
"""

from __future__ import annotations

import importlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from targets.contract import Job, Session, runtime_version
from targets.errors import ArtifactFailed, BadOption, Unusable, first_line
from targets.machine.device import this_device
from targets.nvidia.builder import build_plan
from targets.nvidia.cuda import Gpu, find_gpu, pci_bus_id, use
from targets.nvidia.dla import PRECISIONS as DLA_PRECISIONS
from targets.nvidia.dla import check_dla, why_never
from targets.nvidia.engine import (
    AGAIN,
    ENGINE,
    EngineRecord,
    Place,
    check_fit,
    check_wanted,
    read_engine,
    write_engine,
)  # fmt: skip
from targets.nvidia.jetpacks import (
    how_to_install,
    installed_l4t,
    jetpack_words,
    needs_words,
    stack_with,
    stacks_of,
    stacks_with,
)  # fmt: skip
from targets.nvidia.jit import header_faults
from targets.nvidia.log import make_log
from targets.nvidia.ranges import VersionRange
from targets.nvidia.session import EngineSession, open_engine
from targets.settings import Activations, Precision, TargetSettings, read_options

logger = logging.getLogger("zoo.targets")

GENERATIONS = (75, 80, 86, 89, 120, 121)  # SM numbers that TensorRT-RTX can build for ahead of time


@dataclass(frozen=True)
class Options:
    """Options of TensorRT.

    Attributes:
        tf32: lets fp32 layers compute in TF32: several times faster on tensor cores, but not full fp32.
        versions: range of the runtime's versions that the target takes, such as `>=10.3,<10.4`; empty: any.
    """

    tf32: bool = False
    versions: str = ""

    def __post_init__(self) -> None:
        try:
            VersionRange.parse(self.versions)
        except ValueError as error:
            raise ValueError(f"versions: {error}") from None


@dataclass(frozen=True)
class RtxOptions(Options):
    """Options of TensorRT-RTX.

    Attributes:
        capabilities: SM numbers of the GPUs to build for; None: only this machine's GPU. Default: Ampere and later.
    """

    capabilities: tuple[int, ...] = GENERATIONS[1:]

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [str(sm) for sm in self.capabilities if sm not in GENERATIONS]
        if unknown:
            known = ", ".join(map(str, GENERATIONS))
            raise ValueError(f"capabilities: TensorRT-RTX can't build for SM {', '.join(unknown)}, only for {known}")


class TensorRt:
    """TensorRT on one GPU (`device` is GPU, or GPU.1 and so on if there are several), or on a DLA (DLA, DLA.1) with the
    GPU for the layers that it does not support.
    """

    distribution: ClassVar[str] = "tensorrt"
    extra: ClassVar[str] = "tensorrt"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    activations: ClassVar[Activations] = "symmetric"
    title: ClassVar[str] = "TensorRT"
    package: ClassVar[str] = "tensorrt"
    devices: ClassVar[tuple[str, ...]] = ("GPU", "DLA")

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings
        self.options = self._read_options()
        if not any(re.fullmatch(rf"{kind}(\.\d+)?", settings.device) for kind in self.devices):
            kinds = " or ".join(f"{kind} ({kind}.1 is the second one)" for kind in self.devices)
            raise BadOption(f"device: {self.title} runs on {kinds}, not on {settings.device}. Set `device: GPU`.")
        if self._dla is not None and (why := why_never(settings.board, self.options.versions)):
            raise BadOption(f"device: {settings.device} is not possible for this target: {why}. Set `device: GPU`.")

    @property
    def ships(self) -> tuple[Precision, ...]:
        """Precisions that may ship. A DLA computes in fp16 and int8; the GPU runs their reference in fp32."""
        return self.precisions if self._dla is None else DLA_PRECISIONS

    @property
    def needs(self) -> str:
        """What a device needs to run this target, in words."""
        return needs_words(self.settings.board, self.options.versions)

    def _read_options(self) -> Options:
        return read_options(Options, self.settings)

    @property
    def compiles_ahead(self) -> bool:
        """See `Target.compiles_ahead`."""
        return False

    @property
    def gpu_bus_id(self) -> str | None:
        """See `Target.gpu_bus_id`."""
        return pci_bus_id(self._gpu_number())

    def check(self) -> str:
        """See `Target.check`."""
        trt, gpu = self._runtime(), self._gpu()
        where = f"{gpu.name} (SM {gpu.sm})"
        if self._dla is not None:
            check_dla(trt, trt.Builder(make_log(trt)), this_device().name, self._dla)
            where = f"DLA.{self._dla} of {where}"
        return f"{self.title} {trt.__version__} on {where}"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def check_version(self, version: str) -> None:
        """Check a version of the runtime against the target's range.

        Raises:
            Unusable: it is not in it; with what to do.
        """
        versions = VersionRange.parse(self.options.versions)
        if version in versions:
            return
        board = self.settings.board
        stacks = stacks_of(board, versions) if board else []
        of = f" ({jetpack_words(stacks)})" if stacks else ""
        fits = stack_with(board or this_device().name, version)
        mend = "Install one of these, or change `versions` in the target's options."
        if fits:
            mend = f"{version} belongs to JetPack {fits.jetpack}: build for --target {fits.target}."
        raise Unusable(f"this target takes {self.title} {versions}{of}, and the device has {version}", mend)

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. The engine is optimised for the job's smallest batch."""
        self.check()
        trt, gpu = self._runtime(), self._gpu()
        place = self._place(trt, gpu)
        use(gpu)
        timing = job.cache / f"{self.package}-{trt.__version__}-sm{gpu.sm}.timing" if job.cache else None
        plan = build_plan(trt, graph, job, tf32=self.options.tf32, timing=timing, dla=self._dla)
        write_engine(folder, plan.content, place, (gpu.sm,), plan.flags, plan.batches, plan.dla)

    def load(self, folder: Path, cache: Path | None = None) -> Session:
        """See `Target.load`.

        Raises:
            ForeignEngine: it was built for another GPU or board, or by a release that this machine lacks or the target
                does not take.
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
        check_wanted(record, self.options.versions, self.settings.board, self._dla is not None)
        trt, gpu = self._runtime(), self._gpu()
        check_fit(record, self._place(trt, gpu))
        use(gpu)
        return trt, gpu, record, open_engine(trt, content, self._dla)

    def _runtime(self) -> Any:
        """The runtime's package.

        Raises:
            Unusable: it is not installed, does not start, or is of a version that this target does not take.
        """
        try:
            version = runtime_version(self)
        except Unusable as error:
            raise (Unusable(error.why, self._how_to_install()) if installed_l4t() else error) from None
        self.check_version(version)
        try:
            return importlib.import_module(self.package)
        except (ImportError, OSError) as error:
            why = f"{self.title} {version} does not start: {first_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None

    def _how_to_install(self) -> str:
        """How TensorRT is installed on this Jetson."""
        there = stacks_with(this_device().name, installed_l4t() or "0")
        asked = stacks_of(self.settings.board, VersionRange.parse(self.options.versions))
        return how_to_install([stack for stack in there if stack in asked] or there)

    def _number(self, kind: str) -> int | None:
        """Number of the target's device, if it is of a kind: GPU or DLA."""
        device = re.fullmatch(rf"{kind}(?:\.(\d+))?", self.settings.device)
        return int(device[1] or 0) if device and kind in self.devices else None

    @property
    def _dla(self) -> int | None:
        """Number of the DLA; None for a target on the GPU."""
        return self._number("DLA")

    def _gpu_number(self) -> int:
        """CUDA's index of the GPU. A board with a DLA has one."""
        return self._number("GPU") or 0

    def _gpu(self) -> Gpu:
        return find_gpu(self._gpu_number())

    def _place(self, trt: Any, gpu: Gpu | None) -> Place:
        if gpu is None:
            return Place(self.package, trt.__version__)
        l4t = installed_l4t()
        board = this_device().name if l4t else None
        return Place(self.package, trt.__version__, gpu.name, gpu.sm, gpu.driver, gpu.cuda, board, l4t)


class TensorRtRtx(TensorRt):
    """One GPU with TensorRT-RTX; without a GPU, a compiler for it."""

    distribution: ClassVar[str] = "tensorrt_rtx_cu13"
    extra: ClassVar[str] = "tensorrt-rtx"
    title: ClassVar[str] = "TensorRT-RTX"
    package: ClassVar[str] = "tensorrt_rtx"
    devices: ClassVar[tuple[str, ...]] = ("GPU",)
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
