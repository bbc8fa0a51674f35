"""Measurements: records beside a release, one per artifact, device and time. They are added to and never changed.

A record is of one of four kinds, which never stand in one column: figures that were `measured`; figures that were
`estimated` elsewhere; a target that is `pending`, as its device gave nothing yet; a precision that is `broken`, with
its reason.
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
from targets.machine.device import Device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.ratio import Ratio
from targets.settings import PRECISIONS, Precision
from zoo.errors import ManifestError, OutputError
from zoo.release.manifest import Name, Record, Sha256, first_problem
from zoo.release.migrate import RECORD_SCHEMA, schema_of
from zoo.sanitize import read_json

MEASUREMENTS = "measurements"  # folder beside the manifest
LIMIT = 2**20  # bytes; more than any record needs


class Runtime(Record):
    """What ran the artifact."""

    name: str = Field(description="of the target's class, as the entry point `zoo.targets` has it; what to install")
    version: str = Field(description="of its library; another version may be faster, or refuse the artifact")
    device: str = Field(description="in the runtime's own words, as `CPU`; so that CPU and GPU are not compared")
    options: dict[str, Any] = Field(
        {}, description="settings of the runtime's own that differ from its defaults; what made it faster, perhaps"
    )


class _About(Record):
    schema_version: Literal[1] = Field(1, description="of this format; so that a reader refuses what it can't know")
    release: str = Field(description="name@version; so that a record says what it is of, wherever it lies")
    target: Name = Field(description="in the catalogue: a runtime on a device; which column of a table it is for")


class _Cell(_About):
    network: Literal["teacher", "student"] = Field(
        description="the student is what ships; the teacher is the dense network, as baseline"
    )
    precision: Precision = Field(description="of the artifact's numbers")


class Measured(_Cell):
    """Figures of one network in one precision on one device."""

    kind: Literal["measured"] = Field("measured", description="so that figures and expectations are never mixed")
    ships: bool = Field(description="whether it is what the build kept for this target; which figures are yours")
    run: str = Field(description="names what was timed in turn in one run: only such figures have a ratio")
    device: Device = Field(description="the machine; so that times of two machines are not compared")
    runtime: Runtime = Field(description="what ran the artifact")
    threads: int = Field(description="of one inference on a CPU; times with others do not compare")
    conditions: Conditions | None = Field(
        description="the machine during the run; whether its times can be trusted; null where a build of the first "
        "days did not record it, so that its times make no claims"
    )
    measured_at: str = Field(description="UTC, ISO 8601; which of two records is newer")
    data: str | None = Field(
        description="fingerprint of the data set that accuracy was measured on; accuracies of another do not compare; "
        "null without accuracy"
    )
    accuracy: Accuracy | None = Field(
        description="of this very artifact on this device; null where the data set was not at hand"
    )
    reranked: Accuracy | None = Field(
        None, description="after re-ranking, never mixed with `accuracy`; null unless the recipe asks for it"
    )
    agreement: Agreement | None = Field(
        description="with torch on the data set; what compiling and rounding cost; null where that was not at hand"
    )
    golden_cosine: float | None = Field(
        None,
        description="to the release's golden embedding; says without the data set that the artifact is right here; "
        "null in what a build measured",
    )
    latency: list[Latency] = Field(min_length=1, description="one for each batch size, ascending; how fast it is")
    gate: Agreement | None = Field(
        None,
        description="with torch on the gate's split, held-out training identities: what the choice of what ships went "
        "by; null of the dense network, in what `zoo bench` measured, and where the gate was on the test set, so that "
        "`agreement` was what it went by",
    )
    ships_by: Literal["speed", "size", "only"] | None = Field(
        None,
        description="why it ships: it was the fastest that passes the gate; the smallest, as times made no claims; or "
        "the only one; null of what does not ship",
    )
    ratios: list[Ratio] = Field(
        description="to the dense network in fp32, one for each batch size; whether compression pays on this device; "
        "empty where that was not in the run"
    )
    size_bytes: int = Field(ge=0, description="of all files of the artifact; what it takes on the device's disk")

    @property
    def throttled(self) -> str | None:
        """What slowed the machine down, which voids its times; none if nothing is known of it."""
        return self.conditions.throttled if self.conditions else None

    @property
    def disturbed(self) -> str | None:
        """Why times of its run make no claims, in words; none if nothing is known against them."""
        return self.conditions.disturbed if self.conditions else "the conditions of the run were not recorded"

    @property
    def doubt(self) -> str | None:
        """Why its times make no claims, in words; none if they do. A throttled run's are void, which is more."""
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
                raise ValueError(f"latency at batch {one.batch}: {one.calls} calls of {one.p50_ms} ms are no times")
        return self


class Estimated(_Cell):
    """Accuracy that is expected on a target whose device gave none yet. Times are never estimated."""

    kind: Literal["estimated"] = Field("estimated", description="so that figures and expectations are never mixed")
    data: str = Field(description="fingerprint of the data set; accuracies of another do not compare")
    map: float = Field(description="mean average precision that is expected, %; whether to take the bundle there")
    agreement: Agreement = Field(description="with torch, where it was estimated; what small numbers should cost")
    method: str = Field(description="how, in words; how far to trust it")


class Broken(_Cell):
    """A precision that can't be had on a target."""

    kind: Literal["broken"] = Field("broken", description="so that a known failure is not taken for a gap")
    reason: str = Field(max_length=4000, description="what was said against it; what would have to change")
    runtime: Runtime | None = Field(
        description="what refused it, as another version may not; null if there was no graph to give it"
    )
    found_at: str = Field(description="UTC, ISO 8601; whether it is worth another try")


class Pending(_About):
    """A target that waits for its device: the bundle that has to run there."""

    kind: Literal["pending"] = Field("pending", description="so that what was never measured is not taken for a gap")
    bundle: str = Field(description="name of the archive; what to take to the device")
    bundle_sha256: Sha256 = Field(description="of the archive; that it is the one that was built for this release")


Measurement: TypeAlias = Measured | Estimated | Pending | Broken
_ANY: TypeAdapter[Measurement] = TypeAdapter(Annotated[Measurement, Field(discriminator="kind")])


def measurement_schema() -> dict[str, Any]:
    """The published JSON Schema of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ANY.json_schema(mode="serialization")}


def measured_rows(
    target: str, release: str, data: str | None, measured_at: str, run: Mapping[str, Any]
) -> list[Measured]:
    """Records of one run, as the stages `measure` and `device` write it.

    Args:
        data: fingerprint of the data set; none if accuracy was not measured.
    """
    shared = {name: run[name] for name in ("device", "runtime", "threads", "conditions")}
    about = {"target": target, "release": release, "data": data, "measured_at": measured_at, **shared}
    name = hashlib.sha256(json.dumps([about, run["rows"]], sort_keys=True).encode()).hexdigest()[:16]
    return [
        Measured.model_validate(
            {**about, "run": name, "ships": ships, "ships_by": run.get("chosen_by") if ships else None, **row}
        )
        for row in run["rows"]
        for ships in [(row["network"], row["precision"]) == ("student", run["chosen"])]
    ]


def to_bytes(record: Measurement) -> bytes:
    """A record as it is kept and published: equal records are equal bytes."""
    return (json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


DAMAGED = "Remove it, or get it again."


def from_bytes(content: bytes, where: str, mend: str = DAMAGED) -> Measurement:
    """Read a record.

    Args:
        where, mend: what it is called in errors, and what to do about them.

    Raises:
        ManifestError: it is damaged, none, or written by a newer zoo.
    """
    try:
        values = read_json(content)
    except ValueError as error:
        raise ManifestError(f"the measurement {where} is not valid: {first_problem(error)}. {mend}") from None
    return from_values(values, where, mend)


def from_values(values: object, where: str, mend: str) -> Measurement:
    """`from_bytes`, of what the JSON holds.

    Raises:
        ManifestError: see `from_bytes`.
    """
    schema = schema_of(values)
    if schema is not None and schema > RECORD_SCHEMA:
        raise ManifestError(
            f"the measurement {where} has schema {schema}; this zoo reads {RECORD_SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    try:
        return _ANY.validate_python(values)
    except ValueError as error:
        raise ManifestError(f"the measurement {where} is not valid: {first_problem(error)}. {mend}") from None


def file_name(record: Measurement) -> str:
    """Where a record lies in a folder of them."""
    of = record.kind if isinstance(record, Pending) else f"{record.network}-{record.precision}"
    return f"{record.target}-{of}-{hashlib.sha256(to_bytes(record)).hexdigest()[:12]}.json"


def write_measurements(folder: Path, records: Iterable[Measurement]) -> None:
    """Add records to a folder; those that are there already stay as they are.

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
            f"can't keep measurements in {folder}: {error.strerror}. Let ZOO_HOME name a folder that can be written."
        ) from None


def read_measurements(*folders: Path, mends: Mapping[Path, str] | None = None) -> list[Measurement]:
    """All records of some folders; by target, then as they were timed: the dense network first, then by precision.

    Args:
        mends: what to do about what is damaged, by folder.

    Raises:
        ManifestError: one is damaged.
    """
    try:
        paths = {path.name: path for folder in folders for path in sorted(folder.glob("*.json"))}
        mends = mends or {}
        found = [from_bytes(path.read_bytes(), str(path), mends.get(path.parent, DAMAGED)) for path in paths.values()]
    except OSError as error:
        raise ManifestError(f"can't read the measurement {error.filename}: {error.strerror}.") from None
    return sorted(found, key=_place)


def merged(standing: Iterable[object], records: Iterable[Measurement], where: str, mend: str) -> list[Measurement]:
    """Records that stand in an older manifest, with those beside it: each once, in the order of `read_measurements`.

    Args:
        standing: values of the first.
        where, mend: what the manifest is called in errors, and what to do about them.

    Raises:
        ManifestError: one is not valid.
    """
    inside = [from_values(values, f"in {where}", mend) for values in standing]
    if not inside:
        return [*records]
    return sorted({file_name(record): record for record in (*inside, *records)}.values(), key=_place)


def _place(record: Measurement) -> tuple[Any, ...]:
    if isinstance(record, Pending):
        return (record.target, "", "", 0, 0)
    when = (record.measured_at, record.run) if isinstance(record, Measured) else ("", record.kind)
    return (record.target, *when, record.network == "student", PRECISIONS.index(record.precision))
