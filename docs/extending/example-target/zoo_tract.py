"""tract, Sonos' inference engine in Rust: CPUs, one thread, fp32. Artifact: model.nnef.tar, the network as NNEF.

An example of a target that does not come with zoo; docs/extending/target.md explains it. Source: docstrings of tract.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, runtime_version
from targets.errors import ArtifactFailed, Unusable
from targets.settings import Activations, Precision, TargetSettings, read_options

ARTIFACT = "model.nnef.tar"
BATCH = "batch"  # what exported graphs call their first dimension


@dataclass(frozen=True)
class Options:
    """What tract is told.

    Attributes:
        fixed_batch: make a plan for every batch size that comes: faster, and each plan has weights of its own.
    """

    fixed_batch: bool = True


class Tract:
    """The CPU under tract. It refuses fp16 graphs, and runs int8 ones more slowly than fp32: fp32 is what it is for."""

    distribution: ClassVar[str] = "tract"
    extra: ClassVar[str] = "tract"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    activations: ClassVar[Activations] = "symmetric"
    compiles_ahead: ClassVar[bool] = False
    gpu_bus_id: ClassVar[str | None] = None  # it computes on the CPU

    def __init__(self, settings: TargetSettings) -> None:
        self.settings = settings
        self.options = read_options(Options, settings)

    def check(self) -> str:
        """See `Target.check`."""
        if self.settings.device != "CPU":
            raise Unusable(f"tract runs on CPU here, not on {self.settings.device}", "Set `device: CPU` in the target.")
        if self.settings.threads != 1:
            raise Unusable("tract computes in one thread", "Set `threads: 1` in the target, so that results say so.")
        version = runtime_version(self)
        try:
            import tract
        except (ImportError, OSError) as error:
            why = f"tract {version} does not start: {error}"
            raise Unusable(why, "Run: pip install --force-reinstall tract") from None
        return f"tract {tract.version()} on CPU"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. The artifact takes any batch."""
        import tract

        try:
            model = tract.onnx().load(graph).into_model()
            job.tell("graph read", 0.5)
            tract.nnef().write_model_to_tar(model, folder / ARTIFACT)
        except tract.TractError as error:
            raise ArtifactFailed(f"tract refuses {graph.name}: {_reason(error)}") from None
        job.tell("NNEF written", 1.0)

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it keeps none
        """See `Target.load`."""
        return _Session(folder / ARTIFACT, self.options)


class _Session:
    def __init__(self, artifact: Path, options: Options) -> None:
        import tract

        self.compute_ms: float | None = None
        self._tract, self._artifact, self._fixed = tract, artifact, options.fixed_batch
        self._plans: dict[int | None, Any] = {}  # by batch size; that of none takes any
        self._plan(1)  # a damaged artifact is refused here

    def embed(self, images: np.ndarray) -> np.ndarray:
        plan = self._plan(len(images))
        tensor = self._tract.Tensor.from_numpy(images)
        begun = perf_counter()
        (output,) = plan.run([tensor])
        self.compute_ms = 1000 * (perf_counter() - begun)
        embeddings: np.ndarray = output.to_numpy()
        return embeddings

    def _plan(self, count: int) -> Any:
        batch = count if self._fixed else None
        if batch not in self._plans:
            try:
                model = self._tract.nnef().load(self._artifact)
                if batch:
                    model.transform(self._tract.SetSymbols({BATCH: batch}))
                self._plans[batch] = model.into_runnable()
            except self._tract.TractError as error:
                raise ArtifactFailed(f"tract can't load {self._artifact}: {_reason(error)}") from None
        return self._plans[batch]


def _reason(error: Exception) -> str:
    """What tract says without its stack trace, on one line."""
    return " ".join(str(error).partition("Stack backtrace")[0].split())[:200]
