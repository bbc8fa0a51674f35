"""The record of one release: what was built from what, how good it is, how fast, and how to repeat it.

The JSON Schema of this version is published as docs/manifest.schema.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.networks.cost import Cost
from pipeline.retrieval.accuracy import Accuracy
from targets.device import Device
from targets.latency import Latency
from zoo.errors import ManifestError

SCHEMA = 1
MANIFEST = "manifest.json"


class Record(BaseModel):
    """The base of every part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataRecord(Record):
    """What was trained and tested on."""

    name: str
    fingerprint: str = Field(description="sha256 over names, identities, cameras and the content of every image")
    train_images: int
    train_identities: int
    query_images: int
    gallery_images: int


class StageRecord(Record):
    """One stage's result in the lineage."""

    name: str
    key: str = Field(description="digest of all that the result depends on, under which it is stored")
    version: int
    inputs: dict[str, str] = Field(description="keys of the stages it read from")
    files: dict[str, str] = Field(description="sha256 of files it was given, such as pretrained weights")
    libraries: dict[str, str]
    finished_at: str
    seconds: float


class SiteRecord(Record):
    """A compacted site: its convolution with the one that reads it."""

    site: str
    width_before: int
    width_after: int
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int


class Compression(Record):
    """What compaction removed. `before` is the dense student; the teacher may be a larger network."""

    teacher: Cost
    before: Cost
    after: Cost
    difference_after_merging: float = Field(description="largest absolute difference of unit-length float32 embeddings")
    difference_after_pruning: float
    sites: list[SiteRecord]


class Parity(Record):
    """How the exported graph agrees with torch."""

    min_cosine: float
    images: int
    opset: int


class Artifact(Record):
    """One file of the release. `path` is relative to the manifest."""

    path: str
    size_bytes: int
    sha256: str
    precision: Literal["fp32"]
    target: str | None = Field(description="the target it was compiled for; none for what targets are compiled from")
    runtime: str | None


class Subject(Record):
    """Figures of one network on one target."""

    accuracy: Accuracy
    reranked: Accuracy | None = Field(None, description="after re-ranking, if the recipe asks for it")
    latency: list[Latency]
    size_bytes: int


class Runtime(Record):
    """What ran the artifact."""

    name: str
    version: str
    device: str


class Measurement(Record):
    """Both networks on one target, measured in one run."""

    target: str
    kind: Literal["measured"]
    device: Device
    runtime: Runtime
    threads: int
    measured_at: str
    teacher: Subject = Field(description="the dense network, as baseline")
    student: Subject


class Accuracies(Record):
    """In torch, on identities that were never trained on."""

    teacher: Accuracy
    dense_student: Accuracy
    student: Accuracy


class Provenance(Record):
    """What it takes to repeat the build."""

    zoo: str
    python: str
    libraries: dict[str, str]
    git: str | None = Field(description="commit of the folder that holds the catalogue, with + if it was changed")
    seed: int
    seconds: float = Field(description="wall time of all stages")
    command: str


class Manifest(Record):
    """One release."""

    schema_version: Literal[1] = 1
    name: str
    version: str
    description: str
    created_at: str
    recipe: dict[str, Any]
    recipe_digest: str
    data: DataRecord
    stages: list[StageRecord]
    accuracy: Accuracies
    compression: Compression
    parity: dict[Literal["teacher", "student"], Parity]
    artifacts: list[Artifact]
    measurements: list[Measurement]
    provenance: Provenance


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it is missing, damaged, or written by a newer zoo.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(f"can't read the manifest {path}: {error.strerror}.") from None
    except ValueError as error:
        raise ManifestError(f"the manifest {path} is damaged: {error}. Build the model again.") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ManifestError(
            f"the manifest {path} has schema {version}; this zoo reads up to {SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}"
        raise ManifestError(f"the manifest {path} is not valid: {reason}. Build the model again.") from None


def manifest_schema() -> dict[str, Any]:
    """The published JSON Schema."""
    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
