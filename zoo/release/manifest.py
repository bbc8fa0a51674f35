"""The record of one release: what was built from what, how good it is, and how to repeat it.

It never changes once the release is published. How fast an artifact is on a device is a record of its own beside it
(`zoo.release.measurements`). The JSON Schema of this version is docs/manifest.schema.json; docs/manifest.md
says why each field is there.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from typing_extensions import Self

from pipeline.networks.cost import Cost
from pipeline.recipe import Version
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.bundles.archive import safe_name
from targets.machine.device import Device
from targets.settings import Precision
from zoo.errors import ManifestError
from zoo.release.migrate import OLDEST, SCHEMA, Values, migrated, schema_of
from zoo.sanitize import read_json

MANIFEST = "manifest.json"
KEPT = {schema: f"manifest.schema-{schema}.json" for schema in range(OLDEST, SCHEMA)}
"""Names of older manifests, beside the ones that `zoo migrate` made of them."""
# Names beside the files of a release that are not its own.
RESERVED = (MANIFEST, "measurements", "stage.json", *KEPT.values())
# Files and folders of a release that no target may be called like; in small letters.
OWN_NAMES = (*RESERVED, "graph", "network", "golden", "readme.md", "licenses.md", "run.py", "sbom.cdx.json")


def _stays_inside(path: str) -> str:
    if not safe_name(path) or PurePosixPath(path.casefold()).parts[0] in RESERVED:
        raise ValueError(f"{path!r} leads out of the release's folder, or is no name that every system takes")
    return path


def _is_a_folder(name: str) -> str:
    if not safe_name(name):
        raise ValueError(f"{name!r} is no name that every system takes")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ReleasePath = Annotated[str, StringConstraints(max_length=255), AfterValidator(_stays_inside)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$"), AfterValidator(_is_a_folder)]


class Record(BaseModel):
    """The base of every part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataRecord(Record):
    """What was trained and tested on."""

    name: str = Field(description="in the catalogue; where to look for the images")
    fingerprint: str = Field(
        description="sha256 over names, identities, cameras and the content of every image; accuracies compare only "
        "where it is equal"
    )
    train_images: int = Field(description="images that were trained on; how much the network has seen")
    train_identities: int = Field(description="identities among them; whether it is likely to know yours")
    gate_images: int = Field(
        0, description="training images that were held out for the gate; on how many precision and layers were chosen"
    )
    gate_identities: int = Field(
        0,
        description="training identities that were held out: what ships was chosen on them, and every accuracy told is "
        "of the test set; 0: it was chosen on the test set, whose figures flatter it",
    )
    query_images: int = Field(description="queries of the test set; few make accuracy uncertain")
    gallery_images: int = Field(description="images that are searched; the more there are, the harder is the test")


class HubRecord(Record):
    """Where a file came from that a stage was given."""

    repository: str = Field(description="on the Hugging Face Hub")
    revision: str = Field(description="its commit; pin it (`teacher.revision`) to get the very same file again")


class StageRecord(Record):
    """One stage's result in the lineage."""

    name: str = Field(description="the stage, and of which network, precision and target, as `calibrate/student/fp16`")
    key: str = Field(
        description="sha256 of all that the result depends on, under which it is stored; where two builds begin to "
        "differ"
    )
    version: int = Field(description="of the stage's code; raised when it makes something else of the same inputs")
    inputs: dict[str, str] = Field(description="keys of the stages it read from; what a result was made of")
    files: dict[str, str] = Field(
        description="sha256 of files it was given, such as pretrained weights; which they were, wherever they lay"
    )
    hub: dict[str, HubRecord] = Field(
        default_factory=dict, description="of those files that came from the Hub: which repository, at which commit"
    )
    libraries: dict[str, str] = Field(
        description="versions of those that its result depends on; what to suspect if a repeated build differs"
    )
    finished_at: str = Field(description="UTC, ISO 8601; may be long before the release, as results are kept")
    seconds: float = Field(description="wall time, s; what it costs to repeat the stage")


class SiteRecord(Record):
    """A compacted site: its convolution with the one that reads it."""

    site: str = Field(description="name of the convolution; where in the network channels went")
    width_before: int = Field(description="its channels in the dense student")
    width_after: int = Field(description="its channels in the release; 0 where the whole branch did nothing")
    parameters_before: int = Field(description="of all layers that its channels go through")
    parameters_after: int = Field(description="of the same layers in the release; which sites make the file smaller")
    macs_before: int = Field(description="multiply-accumulates of these layers, for one image")
    macs_after: int = Field(description="of the same layers in the release; which sites save time")


class CutRecord(Record):
    """A moment at which channels were chosen and removed while the student learnt."""

    epoch: int = Field(ge=0, description="behind so many epochs; 0 is before the first step")
    share: float = Field(description="of the dense student's cost that could be left; the course to the budget")
    importance: str = Field(description="which channels of a site stayed, as in `distill.importance`")
    allocation: str = Field(description="how many each site kept, as in `distill.allocation`")
    tries: int = Field(ge=0, description="allocations that a search tried; 0 without one")
    seconds: float = Field(ge=0, description="that choosing took; part of what the student cost")


class Compression(Record):
    """What compaction removed. `before` is the dense student; the teacher may be a larger network."""

    teacher: Cost = Field(description="the network that was distilled from; the baseline of all ratios")
    before: Cost = Field(description="the student as wide as it began")
    after: Cost = Field(description="the student of the release; what a device has to store and compute")
    difference_after_merging: float = Field(
        description="largest absolute difference of unit-length float32 embeddings that merging made; shows that it "
        "changed nothing but the form"
    )
    difference_after_pruning: float = Field(
        description="the same after dead channels were removed as well; shows that they were dead"
    )
    cuts: list[CutRecord] = Field(
        default=[], description="when channels were removed by importance; none where they died while they learnt"
    )
    sites: list[SiteRecord] = Field(description="every compacted site, in the network's order; where the savings are")


class BudgetRecord(Record):
    """What the recipe allows the student on a target, what was predicted of it, and what was measured."""

    what: Literal["p50_ms", "images_per_second", "mj_per_image"] = Field(
        description="the figure that was asked for, as in `latency` of a measurement; the unit of all figures here"
    )
    asked: float = Field(description="of the recipe; what the student was to take at most, or images/s at least")
    target: Name = Field(description="in the catalogue; where the figure is measured")
    precision: Precision = Field(description="of the artifact that is meant; what ships may be in another and faster")
    batch: int = Field(ge=1, description="images of a call; figures at another size do not compare")
    predicted: float = Field(description="of the student's widths, before it was compiled; how good the prediction is")
    measured: float | None = Field(
        description="of that artifact by the build; whether the budget is met; null while its device gave nothing yet, "
        "or if it was not built for the target"
    )
    dense: float = Field(description="predicted of the student as wide as it began; what compression was to gain")
    reachable: float = Field(description="predicted with all channels gone that can go; which budgets are possible")
    error: float = Field(
        description="mean relative error of the prediction for networks that it was not fitted to; how far to trust it"
    )
    error_near: float | None = Field(
        description="the same for networks that were chosen to meet the budget, before they were fitted to, too; null "
        "if none were"
    )
    device: Device = Field(description="the machine that the prediction is from; another one takes other times")
    runtime_version: str = Field(description="of the library there; another one takes other times")


class Licenses(Record):
    """Who may do what: SPDX expressions where there is one, else words."""

    code: str = Field(description="of zoo, and of run.py in the release")
    weights: str = Field(description="of the network and all that is compiled from it; whether you may ship it")
    data: str = Field(description="of the images that it was trained on; some forbid commercial use of what is learnt")


class Parity(Record):
    """How the exported graph agrees with torch."""

    min_cosine: float = Field(
        description="smallest cosine of an image's embeddings by graph and by torch; shows that the export, with the "
        "preprocessing in it, is right"
    )
    images: int = Field(description="real images that were compared; on how many that was seen")
    opset: int = Field(description="ONNX operator set of the graph; which runtimes can read it")


class File(Record):
    """One file of the release. `path` is relative to the manifest."""

    path: ReleasePath = Field(description="with `/` on every system, and never out of the folder; where the file lies")
    size_bytes: int = Field(ge=0, description="length; so that no more is fetched or read than was announced")
    sha256: Sha256 = Field(description="of the content; that it is what was built, and where a registry keeps it")


class Artifact(File):
    """What runs, or what that is compiled from."""

    precision: Precision = Field(description="of its numbers; what that costs stands in `calibrations`")
    target: str | None = Field(
        description="the target it was compiled for, so that a device pulls only its own; null for network and graph, "
        "which targets are compiled from"
    )
    runtime: str | None = Field(description="what it was compiled by and runs in; null where `target` is")


class Calibration(Record):
    """How a graph in small numbers came about, and what it costs where it was judged."""

    network: Literal["teacher", "student"] = Field(description="whose graph; the teacher's serves comparison alone")
    precision: Literal["fp16", "int8"] = Field(description="that the graph was turned into")
    target: str | None = Field(description="int8 is a target's own; null for fp16, which serves all")
    judge: str = Field(description="the runtime that found out what it costs; another one may round otherwise")
    agreement: Agreement = Field(
        description="with torch on the gate's split (`data`); what these numbers cost in accuracy"
    )
    holds: bool = Field(
        description="whether the drop is within the recipe's `calibrate.max_map_drop_points`; what is measured "
        "on its device is judged there once more"
    )
    activations: Literal["symmetric", "asymmetric"] | None = Field(
        None, description="whether int8 ranges have zero in their middle, as some targets ask; null for fp16"
    )
    images: list[str] = Field(
        default_factory=list,
        description="training images that ranges were observed on, to repeat it, and to see that none is of the test "
        "set; empty for fp16",
    )
    images_sha256: str | None = Field(
        None,
        description="of the uint8 arrays N×H×W×3 that were fed; whether another decoder gives the same pixels; null "
        "for fp16",
    )
    coverage: dict[str, float] | None = Field(
        None,
        description="mean and largest Euclidean distance (0 … 2) of training images' embeddings to the nearest of "
        "`images`; whether so few stand for all; null for fp16",
    )
    before_fallback: Agreement | None = Field(
        None, description="with every layer in int8; what going back to float has gained; null for fp16"
    )
    float_layers: list[str] = Field(
        default_factory=list, description="layers that went back to float; why int8 is slower than it could be"
    )
    sensitivities: dict[str, float] = Field(
        default_factory=dict,
        description="by layer, 1 − mean cosine with that one alone in int8; which to change in the network; empty if "
        "none had to go back",
    )
    layers: int | None = Field(None, description="that could be quantised; which share of them is int8; null for fp16")


class Accuracies(Record):
    """In torch, on identities that were never trained on."""

    teacher: Accuracy = Field(description="the dense network; what there was to lose")
    dense_student: Accuracy = Field(description="the student as it was distilled; what distillation has lost")
    student: Accuracy = Field(
        description="the student of the release, with nothing left but what is exported; what each artifact's "
        "agreement is to"
    )


class Provenance(Record):
    """What it takes to repeat the build."""

    zoo: str = Field(description="version of zoo that built it")
    python: str = Field(description="version of Python")
    libraries: dict[str, str] = Field(description="versions of all that some stage depends on; what to install")
    git: str | None = Field(
        description="commit of the folder that holds the catalogue, with + if it was changed; which zoo.yaml it was; "
        "null outside a repository"
    )
    seed: int = Field(description="of all that is drawn at random; the same seed gives the same draws")
    seconds: float = Field(description="wall time of all stages, s; what it costs to repeat them")
    command: str = Field(description="that repeats the build, without folders of the machine")


class Manifest(Record):
    """One release."""

    schema_version: Literal[3] = Field(3, description="of this format; so that a reader refuses what it can't know")
    name: Name = Field(description="of the model in the catalogue; what users ask for, and a folder's name")
    version: Version = Field(description="of the recipe; what it stands for never changes once it is published")
    description: str = Field(description="what the model is, for lists and tables; may be empty")
    created_at: str = Field(description="when it was recorded, UTC, ISO 8601; which of two builds is newer")
    recipe: dict[str, Any] = Field(
        description="all settings of the build, defaults written out, without folders of the machine; in what two "
        "releases differ, and how to measure again as the build did"
    )
    recipe_digest: str = Field(description="sha256 of the recipe as JSON; whether two releases had the same one")
    data: DataRecord = Field(description="what was trained and tested on; whether two accuracies compare")
    licenses: Licenses = Field(description="of code, weights and data; whether you may use it")
    stages: list[StageRecord] = Field(description="in the order of the build; how each result came about")
    accuracy: Accuracies = Field(description="in torch; where along the way accuracy was lost")
    compression: Compression = Field(description="what was removed, and that nothing else changed by it")
    parity: dict[Literal["teacher", "student"], Parity] = Field(
        description="of each network's graph; that what is compiled is what was trained"
    )
    budget: BudgetRecord | None = Field(
        None,
        description="predicted beside measured, where the recipe's budget is a figure of a target; null where it is "
        "none, or counts MACs or parameters",
    )
    calibrations: list[Calibration] = Field(
        description="of each graph in small numbers; what int8 was calibrated on and what it costs; empty if all is "
        "fp32"
    )
    artifacts: list[Artifact] = Field(
        description="what runs, and what that is compiled from; the release itself: `content_sha256` is over these"
    )
    documents: list[File] = Field(
        description="beside the artifacts: card, licenses, golden input, runner, SBOM; to use and check the release"
    )
    provenance: Provenance = Field(description="to repeat the build")

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
        paths = Counter(unicodedata.normalize("NFC", file.path).casefold() for file in self.files)
        folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        if twice := sorted(path for path, count in paths.items() if count > 1):
            raise ValueError(f"a name stands twice, perhaps in other letters: {twice[0]}")
        if both := sorted(folders & paths.keys()):
            raise ValueError(f"a name is a file's and a folder's: {both[0]}")
        return self


def first_problem(error: Exception) -> str:
    """What is wrong with a record, in a line: where, and why."""
    if not isinstance(error, ValidationError):
        return str(error).strip() or type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


@dataclass(frozen=True)
class Parsed:
    """A manifest as it was read.

    Attributes:
        manifest: in the present schema.
        schema: that it is written in.
        measurements: values of the records that stand in it, where its schema has them there; not validated.
        unknown: what its schema does not say, in words; empty where that is the present one.
    """

    manifest: Manifest
    schema: int
    measurements: list[Values]
    unknown: tuple[str, ...]


def parse(content: bytes, where: str, mend: str) -> Parsed:
    """A manifest of any schema that this zoo reads, from its bytes.

    Args:
        where, mend: what it is called in errors, and what to do about them.

    Raises:
        ManifestError: it is damaged, or of a schema that this zoo does not read.
    """
    try:
        values = read_json(content)
    except ValueError as error:
        raise ManifestError(f"the manifest {where} is damaged: {error}. {mend}") from None
    schema = schema_of(values)
    if schema is not None and schema > SCHEMA:
        raise ManifestError(
            f"the manifest {where} has schema {schema}; this zoo reads {SCHEMA}. Upgrade: pip install -U "
            "edge-model-zoo."
        )
    if schema is not None and schema < OLDEST:
        raise ManifestError(f"the manifest {where} has schema {schema}; this zoo reads {OLDEST} to {SCHEMA}. {mend}")
    try:
        found = migrated(values)
        manifest = Manifest.model_validate(found.manifest)
    except ValueError as error:
        raise ManifestError(f"the manifest {where} is not valid: {first_problem(error)}. {mend}") from None
    return Parsed(manifest, SCHEMA if schema is None else schema, found.measurements, found.unknown)


def parse_manifest(content: bytes, where: str, mend: str) -> Manifest:
    """`parse`, without the records that stand in an older manifest.

    Raises:
        ManifestError: see `parse`.
    """
    return parse(content, where, mend).manifest


def read_parsed(path: Path, mend: str) -> Parsed:
    """`parse` of a file.

    Raises:
        ManifestError: it is missing; or see `parse`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"can't read the manifest {path}: {error.strerror}. {mend}") from None
    return parse(content, str(path), mend)


def read_manifest(path: Path, mend: str = "Build the model again.") -> Manifest:
    """Read a manifest.

    Args:
        mend: what to do if it is damaged.

    Raises:
        ManifestError: it is missing, damaged, or of a schema that this zoo does not read.
    """
    return read_parsed(path, mend).manifest


def to_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is kept."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n").encode()


def manifest_schema() -> dict[str, Any]:
    """The published JSON Schema."""
    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
