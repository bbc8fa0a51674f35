"""The record of one release: what was built from what, how good it is, and how to repeat it.

It never changes once the release is published. How fast an artifact is on a device is a record of its own beside it
(`zoo.measurements`). The JSON Schema of this version is published as docs/manifest.schema.json; docs/manifest.md says
why each field is there.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from typing_extensions import Self

from pipeline.networks.cost import Cost
from pipeline.recipe import Version
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.archive import safe_name
from targets.settings import Precision
from zoo.errors import ManifestError

SCHEMA = 3
MANIFEST = "manifest.json"
RESERVED = (MANIFEST, "measurements", "stage.json")  # names beside the files of a release that are not its own


def _stays_inside(path: str) -> str:
    if not safe_name(path) or PurePosixPath(path.casefold()).parts[0] in RESERVED:
        raise ValueError(f"{path!r} leads out of the release's folder, or is no name that every system takes")
    return path


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ReleasePath = Annotated[str, StringConstraints(max_length=255), AfterValidator(_stays_inside)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]


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


class Licenses(Record):
    """Who may do what: SPDX expressions where there is one, else words."""

    code: str
    weights: str
    data: str


class Parity(Record):
    """How the exported graph agrees with torch."""

    min_cosine: float
    images: int
    opset: int


class File(Record):
    """One file of the release. `path` is relative to the manifest."""

    path: ReleasePath
    size_bytes: int = Field(ge=0)
    sha256: Sha256


class Artifact(File):
    """What runs, or what that is compiled from."""

    precision: Precision
    target: str | None = Field(description="the target it was compiled for; none for what targets are compiled from")
    runtime: str | None


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

    schema_version: Literal[3] = 3
    name: Name
    version: Version
    description: str
    created_at: str
    recipe: dict[str, Any]
    recipe_digest: str
    data: DataRecord
    licenses: Licenses
    stages: list[StageRecord]
    accuracy: Accuracies
    compression: Compression
    parity: dict[Literal["teacher", "student"], Parity]
    calibrations: list[Calibration]
    artifacts: list[Artifact]
    documents: list[File] = Field(description="beside the artifacts: card, licenses, golden input, runner, SBOM")
    provenance: Provenance

    @property
    def label(self) -> str:
        """name@version"""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> list[Artifact | File]:
        """All files of the release but the manifest itself."""
        return [*self.artifacts, *self.documents]

    @property
    def content_sha256(self) -> str:
        """What the release is: digest over paths and content of its artifacts. Dates and documents do not count."""
        listed = {artifact.path: artifact.sha256 for artifact in self.artifacts}
        return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        paths = [file.path.casefold() for file in self.files]
        folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"a name stands twice, perhaps in other letters: {twice[0]}")
        if both := sorted(folders & {*paths}):
            raise ValueError(f"a name is a file's and a folder's: {both[0]}")
        return self


def first_problem(error: Exception) -> str:
    """What is wrong with a record, in a line: where, and why."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def parse_manifest(content: bytes, where: str, mend: str) -> Manifest:
    """A manifest from its bytes.

    Args:
        where, mend: what it is called in errors, and what to do about them.

    Raises:
        ManifestError: it is damaged, or written by a newer zoo.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the manifest {where} is damaged: {error}. {mend}") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ManifestError(
            f"the manifest {where} has schema {version}; this zoo reads {SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    try:
        return Manifest.model_validate(values)
    except (ValidationError, RecursionError) as error:
        raise ManifestError(f"the manifest {where} is not valid: {first_problem(error)}. {mend}") from None


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it is missing, damaged, or written by a newer zoo.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"can't read the manifest {path}: {error.strerror}.") from None
    return parse_manifest(content, str(path), "Build the model again.")


def manifest_schema() -> dict[str, Any]:
    """The published JSON Schema."""
    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
