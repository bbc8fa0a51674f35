"""What a target is: three methods and a description; anything installed under the entry point `zoo.targets` is one.

Modules of this package import numpy and the standard library, and a runtime only inside functions: they travel in
bundles to devices that have nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from targets.errors import UnknownRuntime, UnsupportedPrecision, Unusable
from targets.installing import install_command
from targets.machine.device import usable_cores
from targets.settings import PRECISIONS, Activations, Precision, TargetSettings

GROUP = "zoo.targets"
EMBED_BATCH = 8  # images at once where accuracy is measured; every artifact takes as many


def thread_count(settings: TargetSettings) -> int:
    """Threads of one inference: what the settings say, else one per core that we can keep busy."""
    return settings.threads or usable_cores()


def _silent(_text: str, _share: float) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Job:
    """What compiling needs to know besides the graph.

    Attributes:
        height, width: pixels of an image.
        batches: batch sizes that will be measured, ascending. The artifact takes any from 1 to the largest.
        cache: a folder that outlives this job, for a runtime that can save time with one.
        tell: is called with what is being done and which share of it is done, 0 … 1.
    """

    height: int
    width: int
    batches: tuple[int, ...]
    cache: Path | None = None
    tell: Callable[[str, float], None] = _silent


class Session(Protocol):
    """A loaded artifact."""

    compute_ms: float | None
    """What the last `embed` spent computing, without copies to and from the device, ms; none if that is not known."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """uint8 N×H×W×3 RGB → float32 N×D, rows of length 1. Any N from 1 to the job's largest batch."""


class Target(Protocol):
    """A runtime on a device. Made from its settings; importing its module must not import the runtime."""

    @property
    def distribution(self) -> str:
        """The PyPI name of the runtime: its version is part of every result."""

    @property
    def extra(self) -> str:
        """The extra of this project that installs it."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What it can compute in."""

    @property
    def activations(self) -> Activations:
        """Which int8 graph it is given, see `calibration.quantize`."""

    @property
    def compiles_ahead(self) -> bool:
        """Whether `compile` works where the runtime is installed and its device is missing."""

    @property
    def gpu_bus_id(self) -> str | None:
        """Where the NVIDIA GPU that computes is on the PCI bus, as `0000:65:00.0`: its clocks, heat and energy are
        recorded then. None where nothing of that kind computes, or that can't be told.
        """

    def __init__(self, settings: TargetSettings) -> None: ...

    def check(self) -> str:
        """What would run, in words.

        Raises:
            Unusable: and why, and what to do.
        """

    def check_compiler(self) -> str:
        """What would compile, in words: as `check`, but where `compiles_ahead` without the device.

        Raises:
            Unusable: and why, and what to do.
        """

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """Turn an ONNX graph (see the stage `export` for its form) into artifacts inside `folder`.

        Raises:
            ArtifactFailed: the runtime refuses the graph.
        """

    def load(self, folder: Path, cache: Path | None = None) -> Session:
        """What `compile` made, ready to run; `cache` as in `Job`.

        Raises:
            ArtifactFailed: the runtime refuses the artifact.
        """


def runtimes() -> list[str]:
    """Names of all installed runtimes of ours and others', usable here or not."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_runtime(name: str) -> EntryPoint:
    """The door of a runtime.

    Raises:
        UnknownRuntime: no installed package offers it.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point
    near = difflib.get_close_matches(name, runtimes(), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(runtimes()) or 'none'}."
    raise UnknownRuntime(f"no installed package offers the runtime {name!r}. {hint}")


def make_target(settings: TargetSettings) -> Target:
    """The target that the settings describe.

    Raises:
        UnknownRuntime: no installed package offers it.
        BadOption: the runtime does not know an option.
    """
    target: Target = find_runtime(settings.runtime).load()(settings)
    return target


def runtime_version(target: Target) -> str:
    """Version of the runtime's package.

    Raises:
        Unusable: it is not installed.
    """
    try:
        return version(target.distribution)
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


def describe_runtime(target: Target, settings: TargetSettings) -> Runtime:
    """The runtime that is installed here, as records name it.

    Raises:
        Unusable: it is not installed.
    """
    return Runtime(settings.runtime, runtime_version(target), settings.device, dict(settings.options))


def precisions_of(target: Target, settings: TargetSettings, wanted: Precision | None = None) -> tuple[Precision, ...]:
    """What may ship for a target: the one that is wanted, or all that it takes and its settings name.

    Raises:
        UnsupportedPrecision: the wanted one, or one of the settings', is none of the runtime's; or the settings leave
            the wanted one out.
    """
    asked = (wanted,) if wanted else settings.precisions or target.precisions
    for precision in asked:
        if precision not in target.precisions:
            raise UnsupportedPrecision(
                f"{settings.runtime} on {settings.device} can't compute in {precision}, only in "
                f"{', '.join(target.precisions)}. Use precision: auto, or another target."
            )
        if settings.precisions and precision not in settings.precisions:
            raise UnsupportedPrecision(
                f"{precision} is none of this target's precisions in zoo.yaml ({', '.join(settings.precisions)}). "
                "Use precision: auto, or add it there."
            )
    return tuple(precision for precision in PRECISIONS if precision in asked)
