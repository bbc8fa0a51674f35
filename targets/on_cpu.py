"""What the targets ncnn, LiteRT and ExecuTorch share: they run on the CPU, their artifacts are the same on every board,
and other packages make these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

from targets.carried import library_version
from targets.contract import runtime_version
from targets.errors import BadOption, Unusable, first_line
from targets.installing import install_command
from targets.settings import Activations, TargetSettings, read_options


@dataclass(frozen=True)
class NoOptions:
    """These runtimes have no options here."""


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


class OnCpu:
    """The part of a target that does not depend on the runtime."""

    title: ClassVar[str]
    distribution: ClassVar[str]
    extra: ClassVar[str]
    converters: ClassVar[tuple[str, ...]]
    compiles_by_itself: ClassVar[bool] = False  # whether its own package is needed to compile, too
    activations: ClassVar[Activations] = "symmetric"
    compiles_ahead: ClassVar[bool] = False
    portable: ClassVar[bool] = True
    revision: ClassVar[int] = 1  # see `targets.contract.revision`
    gpu_bus_id: ClassVar[str | None] = None  # none of their GPU kernels is used

    def __init__(self, settings: TargetSettings) -> None:
        read_options(NoOptions, settings)
        if settings.device != "CPU":  # also for a board elsewhere, which would only say so after the build
            raise BadOption(f"device: {self.title} runs on CPU here, not on {settings.device}. Set `device: CPU`.")
        self.settings = settings

    def start(self) -> None:
        """Import the runtime; raises ImportError, RuntimeError or OSError if it does not start."""
        raise NotImplementedError

    def check(self) -> str:
        """See `Target.check`."""
        version = runtime_version(self)
        try:
            self.start()
        except (ImportError, RuntimeError, OSError) as error:
            why = f"{self.title} {version} does not start: {first_line(error)}"
            raise Unusable(why, "Reinstall it for this machine.") from None
        return f"{self.title} {version} on CPU"

    def has(self, package: str) -> bool:
        """Whether a package that compiling needs is installed."""
        return find_spec(package.replace("-", "_")) is not None

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        needed = (*([self.distribution] if self.compiles_by_itself else []), *self.converters)
        if missing := [name for name in needed if not self.has(name)]:
            raise Unusable(
                f"{_listed(missing)} not installed, which {self.title}'s artifacts are made with",
                f"Run: {install_command(self.extra)}",
            )
        maker = self.converters[0]
        return f"{maker} {library_version(maker)} for {self.title}"
