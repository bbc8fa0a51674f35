"""What one run on a target gave, as a file: written by the stages `measure` and `device`, read by the release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.engine.step import Variant
from pipeline.files import write_text
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from pipeline.settings import Settings
from targets.contract import Runtime
from targets.errors import LONGEST
from targets.machine.device import Device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.ratio import Ratio
from targets.settings import Precision

MEASUREMENT = "measurement.json"

ChosenBy = Literal["speed", "size", "only"]
Network = Literal["teacher", "student"]


class Row(Settings):
    """Figures of one artifact. The fields are those of `zoo.release.measurements.Measured`, which describes them."""

    network: Network
    precision: Precision
    accuracy: Accuracy | None
    reranked: Accuracy | None = None
    agreement: Agreement | None
    gate: Agreement | None = None
    golden_cosine: float | None = None
    latency: list[Latency] = Field(min_length=1)
    ratios: list[Ratio]
    size_bytes: int

    @property
    def steady(self) -> bool:
        """Whether its times became steady at every batch size."""
        return all(latency.steady for latency in self.latency)


class Refusal(Settings):
    """Why a variant does not exist on a target, and which runtime refused it; none if there was no graph to compile."""

    reason: str = Field(max_length=LONGEST)
    runtime: Runtime | None


class BrokenVariant(Refusal):
    """A network in a precision that does not exist on a target."""

    network: Network
    precision: Precision

    @classmethod
    def of(cls, variant: Variant, refusal: Refusal) -> BrokenVariant:
        """The variant with the reason."""
        return cls(network=variant.network, precision=variant.precision, reason=refusal.reason, runtime=refusal.runtime)


class Run(Settings):
    """All artifacts of a target, timed in turn in one run."""

    device: Device
    runtime: Runtime
    threads: int
    conditions: Conditions
    measured_at: str | None = None
    """UTC, ISO 8601, where another machine measured; none where the step's own time says it"""
    chosen: Precision | None
    """the student's precision that ships; none where the run is no build's"""
    chosen_by: ChosenBy | None = None
    rows: list[Row]
    broken: tuple[BrokenVariant, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `measurement.json`. Without an environment it is as it was before there was that field, so that earlier
        results stay those of this version.
        """
        absent: dict[str, Any] = {"runtime": {"environment"}, "broken": {"__all__": {"runtime": {"environment"}}}}
        exclude = absent if self.runtime.environment is None else None
        write_text(folder / MEASUREMENT, self.model_dump_json(indent=2, exclude=exclude) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Counterpart of `write`."""
        return cls.model_validate_json((folder / MEASUREMENT).read_bytes())


def unsteady(rows: Sequence[Row]) -> int:
    """How many artifacts have times that never became steady."""
    return sum(not row.steady for row in rows)
