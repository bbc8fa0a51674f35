"""Measurements: records beside a release, one per artifact, device and time. Records are added and never changed.

A record has one of five kinds, which are never mixed in a column: `measured` figures, and four without times
(`zoo.release.unmeasured`): accuracy `estimated` elsewhere, an artifact `emulated` on another processor, a `pending`
target whose device has not run yet, and a `broken` precision with the reason.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, model_validator
from typing_extensions import Self

from pipeline.files import write_text
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from pipeline.stages.measurement import Run
from targets.contract import Runtime
from targets.machine.device import Device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.ratio import Ratio
from targets.settings import PRECISIONS
from zoo.errors import ManifestError, OutputError
from zoo.release.migrate import RECORD_SCHEMA, schema_of
from zoo.release.reading import first_problem
from zoo.release.record import Record, Sha256
from zoo.release.unmeasured import Broken as Broken
from zoo.release.unmeasured import Cell
from zoo.release.unmeasured import Emulated as Emulated
from zoo.release.unmeasured import Estimated as Estimated
from zoo.release.unmeasured import Pending as Pending
from zoo.sanitize import parse_json

LIMIT = 2**20  # bytes; more than any record needs
LONGEST_NAME = 100  # characters, of who measured


class Reported(Record):
    """Where a record came from that somebody else sent, by `zoo receive`."""

    by: str | None = Field(
        max_length=LONGEST_NAME, description="who measured, in their own words, which nobody checked; null if not told"
    )
    received_at: str = Field(description="UTC, ISO 8601; when it was received and checked")
    file_sha256: Sha256 = Field(description="digest of the file that was sent; finds the message that brought it")


class Measured(Cell):
    """Figures of one network in one precision on one device."""

    kind: Literal["measured"] = Field("measured", description="keeps measured and estimated figures apart")
    ships: bool = Field(description="whether the build chose it for this target; which figures apply to you")
    run: str = Field(description="id of the run; only figures timed in turn in one run have a ratio")
    device: Device = Field(description="the machine; keeps times of different machines apart")
    runtime: Runtime = Field(description="the runtime that ran the artifact")
    threads: int = Field(description="threads of one inference on a CPU; other counts do not compare")
    conditions: Conditions | None = Field(
        description="state of the machine during the run; whether its times can be trusted; null where an early "
        "version did not record it, so that its times are unreliable"
    )
    measured_at: str = Field(description="UTC, ISO 8601; which of two records is newer")
    data: str | None = Field(
        description="fingerprint of the data set of the accuracy; accuracies on others do not compare; "
        "null without accuracy"
    )
    accuracy: Accuracy | None = Field(description="accuracy of this artifact on this device; null without the data set")
    reranked: Accuracy | None = Field(
        None, description="accuracy with re-ranking, kept apart from `accuracy`; null unless the recipe asks for it"
    )
    agreement: Agreement | None = Field(
        description="agreement with torch on the data set; the cost of compilation and rounding; null without it"
    )
    golden_cosine: float | None = Field(
        None,
        description="cosine to the release's golden embedding; checks the artifact here without the data set; "
        "null if measured by a build",
    )
    latency: list[Latency] = Field(min_length=1, description="one per batch size, ascending; how fast it is")
    gate: Agreement | None = Field(
        None,
        description="agreement with torch on the gate's split (held-out identities), by which the shipped artifact "
        "was chosen; null for the dense network, for `zoo bench`, and if the gate used the test set, where "
        "`agreement` decided",
    )
    ships_by: Literal["speed", "size", "only"] | None = Field(
        None,
        description="why it ships: the fastest that passes the gate; the smallest, if times were unreliable; or "
        "the only one; null if it does not ship",
    )
    ratios: list[Ratio] = Field(
        description="ratio to the dense network in fp32, one per batch size; whether compression pays on this device; "
        "empty if the dense network was not in the run"
    )
    size_bytes: int = Field(ge=0, description="size of all files of the artifact; what it takes on the device's disk")
    reported: Reported | None = Field(
        None,
        description="where it came from, if somebody else measured it; whether to trust it as much as the publisher's "
        "own; null for records of who published them",
    )

    @property
    def throttled(self) -> str | None:
        """What throttled the machine, which makes its times void; None if nothing is known."""
        return self.conditions.throttled if self.conditions else None

    @property
    def disturbed(self) -> str | None:
        """Why times of the run are unreliable, in words; None if nothing is known."""
        return self.conditions.disturbed if self.conditions else "the conditions of the run were not recorded"

    @property
    def doubt(self) -> str | None:
        """Why its times are unreliable, in words; None if they are not. Times of a throttled run are void."""
        if self.disturbed:
            return self.disturbed
        return None if all(one.steady for one in self.latency) else "never became steady"

    @property
    def counts(self) -> bool:
        """Whether its times can be compared."""
        return not self.throttled and self.doubt is None

    @model_validator(mode="after")
    def _times_are_times(self) -> Self:
        for one in self.latency:
            if not (one.batch >= 1 and one.calls >= 1 and one.p50_ms > 0 and one.images_per_second > 0):
                raise ValueError(f"latency at batch {one.batch}: {one.calls} calls of {one.p50_ms} ms are not valid")
        return self


Measurement: TypeAlias = Measured | Estimated | Emulated | Pending | Broken
_ANY: TypeAdapter[Measurement] = TypeAdapter(Annotated[Measurement, Field(discriminator="kind")])


def measurement_schema() -> dict[str, Any]:
    """The published JSON Schema of a measurement."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ANY.json_schema(mode="serialization")}


def measured_rows(target: str, release: str, data: str | None, measured_at: str, run: Run) -> list[Measured]:
    """Records of one run, one per artifact.

    Args:
        data: fingerprint of the data set; None if accuracy was not measured.
    """
    about = {"target": target, "release": release, "data": data, "measured_at": measured_at}
    content = run.model_dump_json(include={"device", "runtime", "threads", "conditions", "rows"})
    digest = hashlib.sha256((json.dumps(about) + content).encode()).hexdigest()[:16]
    return [
        Measured(
            **about,
            run=digest,
            device=run.device,
            runtime=run.runtime,
            threads=run.threads,
            conditions=run.conditions,
            ships=ships,
            ships_by=run.chosen_by if ships else None,
            **dict(row),
        )
        for row in run.rows
        for ships in [(row.network, row.precision) == ("student", run.chosen)]
    ]


def to_bytes(record: Measurement) -> bytes:
    """Serialise a record; equal records give equal bytes."""
    return (json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def older_bytes(record: Measurement) -> bytes | None:
    """Serialise a record as versions did that lacked its newest fields, so that a registry which has it in that form
    does not get it twice; None if these fields say something.
    """
    values = record.model_dump(mode="json")
    runtime = values.get("runtime") or {}
    if values.pop("reported", None) is not None or runtime.pop("environment", None) is not None:
        return None
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


DAMAGED = "Remove it, or get it again."


def from_bytes(content: bytes, where: str, mend: str = DAMAGED) -> Measurement:
    """Parse a record.

    Args:
        where, mend: its name in errors, and how to fix it.

    Raises:
        ManifestError: it is damaged, not a measurement, or written by a newer version.
    """
    try:
        values = parse_json(content)
    except ValueError as error:
        raise ManifestError(f"the measurement {where} is not valid: {first_problem(error)}. {mend}") from None
    return from_values(values, where, mend)


def from_values(values: object, where: str, mend: str) -> Measurement:
    """`from_bytes`, of parsed JSON.

    Raises:
        ManifestError: see `from_bytes`.
    """
    schema = schema_of(values)
    if schema is not None and schema > RECORD_SCHEMA:
        raise ManifestError(
            f"the measurement {where} has schema {schema}; this version reads {RECORD_SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    try:
        return _ANY.validate_python(values)
    except ValueError as error:
        raise ManifestError(f"the measurement {where} is not valid: {first_problem(error)}. {mend}") from None


def file_name(record: Measurement) -> str:
    """File name of a record in a folder of measurements."""
    of = record.kind if isinstance(record, Pending) else f"{record.network}-{record.precision}"
    return f"{record.target}-{of}-{hashlib.sha256(to_bytes(record)).hexdigest()[:12]}.json"


def write_measurements(folder: Path, records: Iterable[Measurement]) -> None:
    """Add records to a folder; existing ones stay as they are.

    Raises:
        OutputError: they can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        for record in records:
            path = folder / file_name(record)
            if not path.exists():
                write_text(path, to_bytes(record).decode())
    except OSError as error:
        raise OutputError(
            f"can't write measurements to {folder}: {error.strerror}. Set ZOO_HOME to a writable folder."
        ) from None


def read_measurements(*folders: Path, mends: Mapping[Path, str] | None = None) -> list[Measurement]:
    """Read all records in some folders, sorted by target, then in the order of the run: dense first, then by precision.

    Args:
        mends: how to fix a damaged one, by folder.

    Raises:
        ManifestError: one is damaged.
    """
    try:
        paths = {path.name: path for folder in folders for path in sorted(folder.glob("*.json"))}
        mends = mends or {}
        found = [from_bytes(path.read_bytes(), str(path), mends.get(path.parent, DAMAGED)) for path in paths.values()]
    except OSError as error:
        raise ManifestError(
            f"can't read the measurement {error.filename}: {error.strerror}. Check its owner and mode."
        ) from None
    return sorted(found, key=_place)


def merged(standing: Iterable[object], records: Iterable[Measurement], where: str, mend: str) -> list[Measurement]:
    """Records of an older manifest and those beside it, in the order of `read_measurements`, each once: a registry may
    have one in the forms of several versions.

    Args:
        standing: values of the records in the manifest.
        records: those beside it.
        where, mend: the manifest's name in errors, and how to fix it.

    Raises:
        ManifestError: one is not valid.
    """
    inside = [from_values(values, f"in {where}", mend) for values in standing]
    return sorted({file_name(record): record for record in (*inside, *records)}.values(), key=_place)


def _place(record: Measurement) -> tuple[Any, ...]:
    if isinstance(record, Pending):
        return (record.target, "", "", 0, 0)
    when = (record.measured_at, record.run) if isinstance(record, Measured) else ("", record.kind)
    return (record.target, *when, record.network == "student", PRECISIONS.index(record.precision))
