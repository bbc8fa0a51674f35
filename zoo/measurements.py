"""Measurements: records beside a release, one per artifact, device and time. They are added to and never changed.

A record is of one of four kinds, which never stand in one column: figures that were `measured`; figures that were
`estimated` elsewhere; a target that is `pending`, as its device gave nothing yet; a precision that is `broken`, with
its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.files import write_text
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.conditions import Conditions
from targets.device import Device
from targets.latency import Latency
from targets.ratio import Ratio
from targets.settings import PRECISIONS, Precision
from zoo.errors import ManifestError
from zoo.manifest import Name, Record, Sha256, first_problem

MEASUREMENTS = "measurements"  # folder beside the manifest
LIMIT = 2**20  # bytes; more than any record needs


class Runtime(Record):
    """What ran the artifact."""

    name: str
    version: str
    device: str


class _About(Record):
    schema_version: Literal[1] = 1
    release: str = Field(description="name@version")
    target: Name


class _Cell(_About):
    network: Literal["teacher", "student"] = Field(description="the teacher is the dense network, as baseline")
    precision: Precision


class Measured(_Cell):
    """Figures of one network in one precision on one device."""

    kind: Literal["measured"] = "measured"
    ships: bool = Field(description="whether it is what the build kept for this target")
    run: str = Field(description="names what was timed in turn in one run: only such figures have a ratio")
    device: Device
    runtime: Runtime
    threads: int
    conditions: Conditions
    measured_at: str
    data: str | None = Field(description="fingerprint of the data set that accuracy was measured on; none without one")
    accuracy: Accuracy | None = Field(description="none where the data set was not at hand")
    reranked: Accuracy | None = Field(None, description="after re-ranking, if the recipe asks for it")
    agreement: Agreement | None = Field(description="with torch on the data set; none where that was not at hand")
    latency: list[Latency] = Field(min_length=1, description="one for each batch size, ascending")
    ratios: list[Ratio] = Field(description="to the dense network in fp32, one for each batch size; none without it")
    size_bytes: int


class Estimated(_Cell):
    """Accuracy that is expected on a target whose device gave none yet. Times are never estimated."""

    kind: Literal["estimated"] = "estimated"
    data: str = Field(description="fingerprint of the data set")
    map: float = Field(description="mean average precision that is expected, %")
    agreement: Agreement = Field(description="with torch, where it was estimated")
    method: str = Field(description="how, in words")


class Broken(_Cell):
    """A precision that can't be had on a target."""

    kind: Literal["broken"] = "broken"
    reason: str = Field(max_length=4000)
    runtime: Runtime | None = Field(description="what refused it; none if there was no graph to give it")
    found_at: str


class Pending(_About):
    """A target that waits for its device: the bundle that has to run there."""

    kind: Literal["pending"] = "pending"
    bundle: str = Field(description="name of the archive")
    bundle_sha256: Sha256


Measurement: TypeAlias = Measured | Estimated | Pending | Broken
_ANY: TypeAdapter[Measurement] = TypeAdapter(Annotated[Measurement, Field(discriminator="kind")])


def measurement_schema() -> dict[str, Any]:
    """The published JSON Schema of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ANY.json_schema(mode="serialization")}


def measured_rows(target: str, release: str, data: str, measured_at: str, run: Mapping[str, Any]) -> list[Measured]:
    """Records of one run, as the stages `measure` and `device` write it.

    Args:
        data: fingerprint of the data set.
    """
    shared = {name: run[name] for name in ("device", "runtime", "threads", "conditions")}
    about = {"target": target, "release": release, "data": data, "measured_at": measured_at, **shared}
    name = hashlib.sha256(json.dumps([about, run["rows"]], sort_keys=True).encode()).hexdigest()[:16]
    return [
        Measured.model_validate(
            {**about, "run": name, "ships": (row["network"], row["precision"]) == ("student", run["chosen"]), **row}
        )
        for row in run["rows"]
    ]


def to_bytes(record: Measurement) -> bytes:
    """A record as it is kept and published: equal records are equal bytes."""
    return (json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def from_bytes(content: bytes, where: str) -> Measurement:
    """Read a record.

    Raises:
        ManifestError: it is damaged, or none.
    """
    try:
        return _ANY.validate_json(content)
    except ValidationError as error:
        told = first_problem(error)
        raise ManifestError(f"the measurement {where} is not valid: {told}. Remove it, or get it again.") from None


def file_name(record: Measurement) -> str:
    """Where a record lies in a folder of them."""
    of = record.kind if isinstance(record, Pending) else f"{record.network}-{record.precision}"
    return f"{record.target}-{of}-{hashlib.sha256(to_bytes(record)).hexdigest()[:12]}.json"


def write_measurements(folder: Path, records: Iterable[Measurement]) -> None:
    """Add records to a folder; those that are there already stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        path = folder / file_name(record)
        if not path.exists():
            write_text(path, to_bytes(record).decode())


def read_measurements(*folders: Path) -> list[Measurement]:
    """All records of some folders; by target, then as they were timed: the dense network first, then by precision.

    Raises:
        ManifestError: one is damaged.
    """
    try:
        paths = {path.name: path for folder in folders for path in sorted(folder.glob("*.json"))}
        found = [from_bytes(path.read_bytes(), str(path)) for path in paths.values()]
    except OSError as error:
        raise ManifestError(f"can't read the measurement {error.filename}: {error.strerror}.") from None
    return sorted(found, key=_place)


def _place(record: Measurement) -> tuple[Any, ...]:
    if isinstance(record, Pending):
        return (record.target, "", "", 0, 0)
    when = (record.measured_at, record.run) if isinstance(record, Measured) else ("", record.kind)
    return (record.target, *when, record.network == "student", PRECISIONS.index(record.precision))
