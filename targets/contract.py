"""What a target is. Three methods, a description; anything installed under the entry point `zoo.targets` is one."""

from __future__ import annotations

import difflib
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from targets.device import usable_cores
from targets.errors import UnknownRuntime, Unusable
from targets.installing import install_command

GROUP = "zoo.targets"


class TargetSettings(BaseModel):
    """A target as zoo.yaml describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime: str = Field(description="name under the entry point `zoo.targets`")
    device: str = Field("CPU", description="device by the runtime's own name")
    threads: int | None = Field(None, ge=1, description="threads of one inference; left out: one per core")


def thread_count(settings: TargetSettings) -> int:
    """Threads of one inference: what the settings say, else one per core that we may run on."""
    return settings.threads or usable_cores()


class Session(Protocol):
    """A loaded artifact."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """uint8 N×H×W×3 RGB → float32 N×D, rows of length 1. Any N ≥ 1."""


class Target(Protocol):
    """A runtime on a device. Made from its settings; importing its module must not import the runtime."""

    distribution: ClassVar[str]  # the PyPI name of the runtime: its version is part of every result
    extra: ClassVar[str]  # the extra of this project that installs it

    def __init__(self, settings: TargetSettings) -> None: ...

    def check(self) -> str:
        """What would run, in words.

        Raises:
            Unusable: and why, and what to do.
        """

    def compile(self, graph: Path, folder: Path) -> None:
        """Turn an ONNX graph (see the stage `export` for its form) into artifacts inside `folder`.

        Raises:
            ArtifactFailed: the runtime refuses the graph.
        """

    def load(self, folder: Path) -> Session:
        """What `compile` made, ready to run.

        Raises:
            ArtifactFailed: the runtime refuses the artifact.
        """


def runtimes() -> list[str]:
    """Names of all installed runtimes of ours and others', usable here or not."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def make_target(settings: TargetSettings) -> Target:
    """The target that the settings describe.

    Raises:
        UnknownRuntime: no installed package offers it.
    """
    for point in entry_points(group=GROUP):
        if point.name == settings.runtime:
            target: Target = point.load()(settings)
            return target
    near = difflib.get_close_matches(settings.runtime, runtimes(), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(runtimes()) or 'none'}."
    raise UnknownRuntime(f"no installed package offers the runtime {settings.runtime!r}. {hint}")


def runtime_version(target: Target) -> str:
    """Version of the runtime's package.

    Raises:
        Unusable: it is not installed.
    """
    try:
        return version(target.distribution)
    except PackageNotFoundError:
        raise Unusable(f"{target.distribution} is not installed", f"Run: {install_command(target.extra)}") from None
