"""The interface of a target: three methods and a description, found through the entry point `zoo.targets`.

Modules of this package import only numpy and the standard library, and a runtime only inside functions: they are copied
in bundles to devices that have nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from targets.carried import library_version
from targets.errors import UnknownRuntime, UnsupportedPrecision, Unusable
from targets.installing import install_command
from targets.machine.device import usable_cores
from targets.settings import PRECISIONS, Activations, Precision, TargetSettings, WeightBits

GROUP = "zoo.targets"


def thread_count(settings: TargetSettings) -> int:
    """Threads of one inference: from the settings, otherwise one per usable core."""
    return settings.threads or usable_cores()


def _silent(_text: str, _share: float) -> None:
    """Progress without a reader."""


@dataclass(frozen=True)
class Job:
    """Inputs of a compilation besides the graph.

    Attributes:
        height, width: pixels of an image.
        batches: batch sizes to measure, ascending. The artifact accepts any from 1 to the largest.
        cache: a folder that outlives this job, in which a runtime may save time.
        tell: is called with the current task and the share of it that is done, 0 … 1.
    """

    height: int
    width: int
    batches: tuple[int, ...]
    cache: Path | None = None
    tell: Callable[[str, float], None] = _silent


class Session(Protocol):
    """A loaded artifact."""

    compute_ms: float | None
    """Computing time of the last `embed`, without copies to and from the device, ms; None if unknown."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """uint8 N×H×W×3 RGB → float32 N×D, rows of length 1. Any N from 1 to the job's largest batch."""


@runtime_checkable
class ProcessSession(Session, Protocol):
    """A session that computes in a process of its own, such as a browser, and times its calls there: sending images to
    that process and embeddings back is not part of the model's time. Its energy is not measured, since a meter would
    include that. Both attributes exist before the first call.
    """

    call_ms: float
    """Time of the last `embed` in that process, from the uint8 array in its memory to the embeddings in it, ms."""
    process: int
    """Id of the process. Its CPU time, and that of the processes it started, counts as the session's."""


class Target(Protocol):
    """A runtime on a device, created from its settings. Importing its module must not import the runtime."""

    @property
    def distribution(self) -> str:
        """PyPI name of the runtime, or the name of a library in `targets.carried`; its version is part of every
        result.
        """

    @property
    def extra(self) -> str:
        """The extra of this project that installs it."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that it can compute in."""

    @property
    def activations(self) -> Activations:
        """The kind of int8 graph that it takes, see `calibration.quantize`."""

    @property
    def compiles_ahead(self) -> bool:
        """Whether `compile` works where the runtime is installed but its device is missing."""

    @property
    def gpu_bus_id(self) -> str | None:
        """PCI bus address of the NVIDIA GPU that computes, such as `0000:65:00.0`; its clocks, temperature and energy
        are then recorded. None without such a GPU, or if unknown.
        """

    def __init__(self, settings: TargetSettings) -> None: ...

    def check(self) -> str:
        """Check that it is usable here; return what would run, in words.

        Raises:
            Unusable: it is not; with the reason and how to fix it.
        """

    def check_compiler(self) -> str:
        """Check that it can compile here: like `check`, but with `compiles_ahead` also without the device.

        Raises:
            Unusable: it can't; with the reason and how to fix it.
        """

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """Compile an ONNX graph (see the stage `export` for its form) to artifacts inside `folder`.

        Raises:
            ArtifactFailed: the runtime refuses the graph.
        """

    def load(self, folder: Path, cache: Path | None = None) -> Session:
        """Load what `compile` wrote; `cache` as in `Job`.

        Raises:
            ArtifactFailed: the runtime refuses the artifact.
        """


def runtimes() -> list[str]:
    """Names of all installed runtimes, built-in and third-party, usable here or not."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_runtime(name: str) -> EntryPoint:
    """The entry point of a runtime.

    Raises:
        UnknownRuntime: no installed package provides it.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point
    near = difflib.get_close_matches(name, runtimes(), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(runtimes()) or 'none'}."
    raise UnknownRuntime(
        f"no installed package provides the runtime {name!r}. {hint} Correct `runtime` of the target, or install the "
        "package that provides it."
    )


def make_target(settings: TargetSettings) -> Target:
    """Create the target of some settings.

    Raises:
        UnknownRuntime: no installed package provides it.
        BadOption: the runtime does not have such an option.
    """
    target: Target = find_runtime(settings.runtime).load()(settings)
    return target


def converters(target: Target) -> tuple[str, ...]:
    """PyPI names of what a target compiles with, besides its runtime: its attribute `converters`, if it has one. Their
    versions are part of every artifact.
    """
    found: tuple[str, ...] = getattr(target, "converters", ())
    return found


def makers(target: Target) -> tuple[str, ...]:
    """Libraries whose versions are part of a target's artifacts: its runtime and its converters. A runtime that
    compiling does not need (its attribute `compiles_by_itself` is false) counts where it is installed.
    """
    own: tuple[str, ...] = (target.distribution,)
    if not getattr(target, "compiles_by_itself", True):
        try:
            library_version(target.distribution)
        except PackageNotFoundError:
            own = ()
    return (*own, *converters(target))


def revision(target: Target) -> int:
    """How often what `compile` writes for the same graph has changed: its attribute `revision`, which is only ever
    raised, or 0 without one. It is part of the keys of this target's artifacts, and of no other's.
    """
    found: int = getattr(target, "revision", 0)
    return found


def weight_bits(target: Target) -> WeightBits:
    """Bits of the int8 weights that it takes: its attribute `weight_bits`, or 8 without one.

    Kernels for x86 without VNNI add two products of uint8 and int8 in 16 bits. That overflows with weights of 8 bits,
    and never with 7: 2 · 255 · 64 < 2¹⁵ (ONNX Runtime, "Quantize ONNX models"; oneDNN, "Nuances of int8 computations").
    """
    found: WeightBits = getattr(target, "weight_bits", 8)
    return found


def is_portable(target: Target) -> bool:
    """Whether what `compile` writes is the same for every board: its attribute `portable`, if it has one. A bundle then
    carries artifacts in place of graphs, and the device needs no converter.
    """
    return bool(getattr(target, "portable", False))


def runs_on_arm64(target: Target) -> bool:
    """Whether a 64-bit ARM processor runs what a target compiles, with a wheel of its runtime's package: its attribute
    `arm64`, if it has one. `zoo check` emulates such a processor.
    """
    return bool(getattr(target, "arm64", False))


def compiles_slowly(target: Target) -> bool:
    """Whether `compile` takes many seconds even for a small network: its attribute `slow_compiler`, if it has one. The
    search for layers that stay in float then runs in ONNX Runtime; the gate on the artifact is the same.
    """
    return bool(getattr(target, "slow_compiler", False))


class Installed(Protocol):
    """The part of a target that says what has to be installed."""

    @property
    def distribution(self) -> str: ...
    @property
    def extra(self) -> str: ...


def runtime_version(target: Installed) -> str:
    """Version of the runtime's package.

    Raises:
        Unusable: it is not installed.
    """
    try:
        return library_version(target.distribution)
    except PackageNotFoundError:
        raise Unusable(
            f"{target.distribution} is not installed", f"Run: {install_command(target.extra, target.distribution)}"
        ) from None


@dataclass(frozen=True)
class Runtime:
    """The runtime that ran the artifact."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    name: str
    """name of the entry point in `zoo.targets`; what to install"""
    version: str
    """version of its library; another one may be faster, or refuse the artifact"""
    device: str
    """device name of the runtime, such as `CPU`; keeps CPU and GPU apart"""
    options: dict[str, Any] = field(default_factory=dict)
    """runtime settings that differ from its defaults; they may explain the speed"""
    environment: str | None = None
    """program that the runtime runs in, with its version and what bears on speed, in words: a browser; null where there
    is none"""


def describe_runtime(target: Target, settings: TargetSettings) -> Runtime:
    """The runtime and its settings, for records. A target whose runtime runs in another program, such as a browser,
    describes that program in an attribute `environment`.

    Raises:
        Unusable: it is not installed.
    """
    environment: str | None = getattr(target, "environment", None)
    return Runtime(settings.runtime, runtime_version(target), settings.device, dict(settings.options), environment)


def needs_of(target: Target) -> str:
    """What a device needs to run a target, in words, from its attribute `needs`; empty if it has none."""
    return str(getattr(target, "needs", ""))


def version_check(target: Target) -> Callable[[str], None] | None:
    """A target's method `check_version`, which raises `Unusable` for a version of its runtime that it does not take.

    None if it takes all of them.
    """
    check: Callable[[str], None] | None = getattr(target, "check_version", None)
    return check


def precisions_of(target: Target, settings: TargetSettings, wanted: Precision | None = None) -> tuple[Precision, ...]:
    """Precisions that may ship for a target: the requested one, or all of its settings that it supports. A target that
    computes in more of them than make sense to ship has an attribute `ships`.

    Raises:
        UnsupportedPrecision: the runtime does not support the requested precision or one of the settings', or the
            settings exclude the requested one.
    """
    ships: tuple[Precision, ...] = getattr(target, "ships", target.precisions)
    asked = (wanted,) if wanted else settings.precisions or ships
    for precision in asked:
        if precision not in target.precisions:
            raise UnsupportedPrecision(
                f"{settings.runtime} on {settings.device} can't compute in {precision}, only in "
                f"{', '.join(target.precisions)}. Use precision: auto, or another target."
            )
        if precision not in ships:
            raise UnsupportedPrecision(
                f"{settings.runtime} on {settings.device} ships {', '.join(ships)} only: {precision} would not compute "
                "there. Use precision: auto, or another target."
            )
        if settings.precisions and precision not in settings.precisions:
            raise UnsupportedPrecision(
                f"{precision} is not one of this target's precisions in zoo.yaml ({', '.join(settings.precisions)}). "
                "Use precision: auto, or add it there."
            )
    return tuple(precision for precision in PRECISIONS if precision in asked)
