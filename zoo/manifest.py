"""The record of one release: what was built from what, how good it is, how fast, and how to repeat it.

The JSON Schema of this version is published as docs/manifest.schema.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.networks.cost import Cost
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.conditions import Conditions
from targets.device import Device
from targets.latency import Latency
from targets.ratio import Ratio
from targets.settings import Precision
from zoo.errors import ManifestError

SCHEMA = 2
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
    precision: Precision
    target: str | None = Field(description="the target it was compiled for; none for what targets are compiled from")
    runtime: str | None


class Figures(Record):
    """Figures of one network in one precision on one target."""

    network: Literal["teacher", "student"] = Field(description="the teacher is the dense network, as baseline")
    precision: Precision
    accuracy: Accuracy
    reranked: Accuracy | None = Field(None, description="after re-ranking, if the recipe asks for it")
    agreement: Agreement
    latency: list[Latency] = Field(description="one for each batch size")
    ratios: list[Ratio] = Field(description="to the dense network in fp32, one for each batch size; none without it")
    size_bytes: int


class Runtime(Record):
    """What ran the artifact."""

    name: str
    version: str
    device: str


class Measurement(Record):
    """All that was compiled for one target, measured in one run."""

    target: str
    kind: Literal["measured"]
    device: Device
    runtime: Runtime
    threads: int
    conditions: Conditions
    measured_at: str
    chosen: Precision = Field(description="of the student that ships: as the recipe asks, or the fastest that passes")
    rows: list[Figures]

    def figures(self, network: str, precision: str) -> Figures | None:
        """Those of one network in one precision, if it was measured."""
        return next((row for row in self.rows if (row.network, row.precision) == (network, precision)), None)

    @property
    def shipped(self) -> Figures:
        """Those of the student that ships."""
        found = self.figures("student", self.chosen)
        assert found is not None
        return found


class Pending(Record):
    """A target that waits for its device: the bundle that has to run there."""

    target: str
    kind: Literal["pending"]
    bundle: str = Field(description="name of the archive")
    bundle_sha256: str


class Calibration(Record):
    """How a graph in small numbers came about, and what it costs where it was judged."""

    network: Literal["teacher", "student"]
    precision: Literal["fp16", "int8"]
    target: str | None = Field(description="int8 is a target's own; fp16 serves all")
    judge: str = Field(description="the runtime that found out what it costs")
    agreement: Agreement
    holds: bool = Field(description="whether the drop is within calibrate.max_map_drop_points")
    activations: Literal["symmetric", "asymmetric"] | None = None
    images: list[str] = Field(default_factory=list, description="training images that ranges were observed on")
    images_sha256: str | None = Field(None, description="of the uint8 arrays N×H×W×3 that were fed")
    coverage: dict[str, float] | None = None
    before_fallback: Agreement | None = Field(None, description="with every layer in int8")
    float_layers: list[str] = Field(default_factory=list, description="layers that went back to float")
    sensitivities: dict[str, float] = Field(
        default_factory=dict, description="1 − mean cosine with one layer in int8, if layers had to go back"
    )
    layers: int | None = Field(None, description="that could be quantised")


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

    schema_version: Literal[2] = 2
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
    calibrations: list[Calibration]
    artifacts: list[Artifact]
    measurements: list[Annotated[Measurement | Pending, Field(discriminator="kind")]]
    provenance: Provenance

    @property
    def measured(self) -> list[Measurement]:
        """Targets with figures."""
        return [one for one in self.measurements if isinstance(one, Measurement)]

    @property
    def pending(self) -> list[Pending]:
        """Targets that wait for their device."""
        return [one for one in self.measurements if isinstance(one, Pending)]


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
