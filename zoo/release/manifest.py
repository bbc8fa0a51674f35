"""The record of one release: its inputs, its accuracy, and how to repeat the build.

A manifest never changes once the release is published. The speed of an artifact on a device is a separate record
beside it (`zoo.release.measurements`). The JSON Schema of this version is docs/manifest.schema.json; docs/manifest.md
explains each field.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline.networks.cost import Cost
from pipeline.recipe import Version
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.bundles.archive import safe_name
from targets.machine.device import Device
from targets.measuring.ratio import Ratio
from targets.names import NAME
from targets.settings import Precision
from zoo.layout import RESERVED


def _stays_inside(path: str) -> str:
    if not safe_name(path) or PurePosixPath(path.casefold()).parts[0] in RESERVED:
        raise ValueError(f"{path!r} leads out of the release's folder, or is not a valid name on every system")
    return path


def _is_a_folder(name: str) -> str:
    if not safe_name(name):
        raise ValueError(f"{name!r} is not a valid name on every system")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ReleasePath = Annotated[str, StringConstraints(max_length=255), AfterValidator(_stays_inside)]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$"), AfterValidator(_is_a_folder)]


class Record(BaseModel):
    """Base class of every part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataRecord(Record):
    """The data set of training and test."""

    name: str = Field(description="name in the catalogue; where to find the images")
    fingerprint: str = Field(
        description="sha256 over names, identities, cameras and the content of every image; accuracies compare only "
        "where it is equal"
    )
    train_images: int = Field(description="number of training images; how much the network has seen")
    train_identities: int = Field(description="their identities; how diverse the training data are")
    gate_images: int = Field(
        0, description="training images held out for the gate; the sample on which precision and layers were chosen"
    )
    gate_identities: int = Field(
        0,
        description="training identities held out to choose what ships, so that every reported accuracy is "
        "unbiased; 0: chosen on the test set, whose accuracy is then inflated",
    )
    query_images: int = Field(description="queries of the test set; few queries make accuracy uncertain")
    gallery_images: int = Field(description="images that are searched; a larger gallery is harder")


class HubRecord(Record):
    """Origin of a file that was given to a stage."""

    repository: str = Field(description="repository on the Hugging Face Hub; where to find the file")
    revision: str = Field(description="its commit; pin it (`teacher.revision`) to get the same file again")


class StageRecord(Record):
    """The result of one stage, in the lineage."""

    name: str = Field(description="stage, network, precision and target, as in `calibrate/student/fp16`")
    key: str = Field(
        description="sha256 of everything the result depends on, its key in the store; where two builds begin to differ"
    )
    version: int = Field(description="version of the stage's code; raised when the same inputs give another result")
    inputs: dict[str, str] = Field(description="keys of the stages it reads from; what the result was made from")
    files: dict[str, str] = Field(
        description="sha256 of given files, such as pretrained weights; identifies them wherever they lie"
    )
    hub: dict[str, HubRecord] = Field(
        default_factory=dict, description="repository and commit of the files that came from the Hub"
    )
    libraries: dict[str, str] = Field(
        description="versions of libraries the result depends on; what to suspect if a repeated build differs"
    )
    finished_at: str = Field(description="UTC, ISO 8601; may be long before the release, since results are kept")
    seconds: float = Field(description="wall time, s; what it costs to repeat the stage")


class SiteRecord(Record):
    """A compacted site: a convolution with the one that reads it."""

    site: str = Field(description="name of the convolution; where in the network channels were removed")
    width_before: int = Field(description="its channels in the dense student")
    width_after: int = Field(description="its channels in the release; 0 if the whole branch contributed nothing")
    parameters_before: int = Field(description="parameters of all layers that its channels pass through")
    parameters_after: int = Field(description="parameters of these layers in the release; which sites shrink the file")
    macs_before: int = Field(description="multiply-accumulates of these layers for one image")
    macs_after: int = Field(description="multiply-accumulates in the release; which sites save time")


class CutRecord(Record):
    """A step of training at which channels were selected and removed."""

    epoch: int = Field(ge=0, description="after this many epochs; 0 is before the first step")
    share: float = Field(description="allowed share of the dense student's cost; the schedule towards the budget")
    importance: str = Field(description="how channels of a site were ranked, as in `distill.importance`")
    allocation: str = Field(description="how many channels each site kept, as in `distill.allocation`")
    tries: int = Field(ge=0, description="allocations that a search tried; 0 without a search")
    seconds: float = Field(ge=0, description="time of the selection, s; part of the student's cost")


class Compression(Record):
    """What compaction removed. `before` is the dense student; the teacher may be a larger network."""

    teacher: Cost = Field(description="the teacher network; the baseline of all ratios")
    before: Cost = Field(description="the student at its initial width")
    after: Cost = Field(description="the student of the release; what a device stores and computes")
    difference_after_merging: float = Field(
        description="largest absolute difference of unit-length float32 embeddings after merging; shows that it "
        "changed nothing but the form"
    )
    difference_after_pruning: float = Field(
        description="the same after removal of dead channels; shows that they were dead"
    )
    cuts: list[CutRecord] = Field(
        default=[], description="steps at which channels were removed by importance; empty if training zeroed them"
    )
    sites: list[SiteRecord] = Field(description="all compacted sites in the network's order; where the savings are")


class BudgetRecord(Record):
    """The recipe's budget for the student on a target, with the predicted and the measured figure."""

    what: Literal["p50_ms", "images_per_second", "mj_per_image"] = Field(
        description="the figure that is limited, as in `latency` of a measurement; the unit of all figures here"
    )
    asked: float = Field(description="limit of the recipe; a maximum, or a minimum for images/s")
    target: Name = Field(description="target in the catalogue; where the figure is measured")
    precision: Precision = Field(description="precision of the limited artifact; the shipped one may be faster")
    batch: int = Field(ge=1, description="images per call; figures at another batch size do not compare")
    predicted: float = Field(description="prediction from the student's widths; how good the prediction is")
    measured: float | None = Field(
        description="measured by the build; whether the budget is met; null while the device has not run, "
        "or if the target was not built"
    )
    dense: float = Field(description="prediction for the student at its initial width; what compression had to gain")
    reachable: float = Field(description="prediction with every removable channel removed; which budgets are possible")
    error: float = Field(
        description="mean relative error on networks that were not used for the fit; how far to trust the prediction"
    )
    error_near: float | None = Field(
        description="the same for networks near the budget, before they were added to the fit; null if none were"
    )
    device: Device = Field(description="the machine of the prediction; other machines have other times")
    runtime_version: str = Field(description="version of its runtime library; other versions have other times")


class ForeignFile(Record):
    """The ONNX file of a network that zoo did not train."""

    file: str = Field(max_length=255, description="its name, without folders; what to look for")
    sha256: Sha256 = Field(description="digest of its content; identifies it wherever it lies")
    size_bytes: int = Field(ge=0, description="size, bytes, with external data; tells it from another export")
    source: str = Field(description="where it came from, as `zoo add --source` said; may be empty")
    trained_on: str = Field(
        description="what it was trained on, as `zoo add --trained-on` said; may be empty. If test images were among "
        "it, accuracy is inflated"
    )
    producer: str = Field(
        description="the program that wrote it, as the file says; what to suspect if it can't be read"
    )
    cost: Cost = Field(
        description="cost of the network in its graph, simplified, without zoo's preprocessing; comparable with "
        "`compression.after` of others"
    )


class Licenses(Record):
    """Licenses: SPDX expressions where possible, otherwise words."""

    code: str = Field(description="license of zoo, and of run.py in the release")
    weights: str = Field(description="license of the network and everything compiled from it; whether you may ship it")
    data: str = Field(description="license of the training images; some forbid commercial use of trained networks")


class Ancestor(Record):
    """A release whose network was the start of this one's training."""

    name: Name = Field(description="its name; what to pull")
    version: Version = Field(description="its version, which a range was resolved to")
    manifest_sha256: Sha256 = Field(description="digest of its manifest; identifies it wherever it is published")
    licenses: Licenses = Field(description="its licenses; what they demand of networks derived from its weights")
    data: str = Field(description="name of the data set that it was trained on; what the weights have seen before")
    data_fingerprint: str = Field(description="fingerprint of that data set; whether the test set is among it")

    @property
    def label(self) -> str:
        """name@version"""
        return f"{self.name}@{self.version}"


class Parity(Record):
    """Agreement of the exported graph with torch."""

    min_cosine: float = Field(
        description="smallest cosine between an image's embeddings by graph and torch; shows that the export, with its "
        "preprocessing, is correct"
    )
    images: int = Field(description="number of real images compared; the size of the check")
    opset: int = Field(description="ONNX operator set of the graph; which runtimes can read it")


class File(Record):
    """One file of the release. `path` is relative to the manifest."""

    path: ReleasePath = Field(description="with `/` on every system, inside the folder; where the file is")
    size_bytes: int = Field(ge=0, description="size, bytes; no more than this is fetched or read")
    sha256: Sha256 = Field(description="digest of the content; detects changes, and names the file in a registry")


class Artifact(File):
    """A file that runs, or that others are compiled from."""

    precision: Precision = Field(description="numeric precision; its cost is in `calibrations`")
    target: str | None = Field(
        description="the target it was compiled for, so that a device pulls only its own; null for network and graph, "
        "which targets are compiled from"
    )
    runtime: str | None = Field(description="the runtime that compiled and runs it; null where `target` is")


class LayersBySpeed(Record):
    """Times of a target that decided which layers stay in float, with `calibrate.layers: fastest`."""

    alone: dict[str, float] = Field(
        description="by layer, speed of the int8 graph with it in float, too, relative to the graph without; of the "
        "layers that compute least, in a short run. Which ones are slower in int8"
    )
    for_accuracy: list[str] = Field(
        description="layers that were in float before, for accuracy; the others of `float_layers` are for speed"
    )
    faster: Ratio | None = Field(
        description="speed of the graph relative to the one with only `for_accuracy` in float (`all`); null if no "
        "graph was faster with confidence"
    )


class Calibration(Record):
    """How a graph was quantised, and what that costs in the reference runtime."""

    network: Literal["teacher", "student"] = Field(description="the graph's network; teacher: for comparison only")
    precision: Literal["fp16", "int8"] = Field(description="precision of the resulting graph")
    target: str | None = Field(description="the int8 graph's target; null for fp16, which all targets share")
    judge: str = Field(description="the runtime in which the cost was measured; another one may round differently")
    agreement: Agreement = Field(description="agreement with torch on the gate's split (`data`); the cost in accuracy")
    holds: bool = Field(
        description="whether the drop is within the recipe's `calibrate.max_map_drop_points`; an artifact measured "
        "on its device is checked again there"
    )
    activations: Literal["symmetric", "asymmetric"] | None = Field(
        None, description="whether int8 ranges are symmetric around zero, as some targets require; null for fp16"
    )
    images: list[str] = Field(
        default_factory=list,
        description="training images on which ranges were observed; to repeat it, and to see that none is of the test "
        "set; empty for fp16",
    )
    images_sha256: str | None = Field(
        None,
        description="sha256 of the uint8 arrays N×H×W×3; whether another decoder gives the same pixels; null for fp16",
    )
    coverage: dict[str, float] | None = Field(
        None,
        description="mean and largest Euclidean distance (0 … 2) of training images' embeddings to the nearest of "
        "`images`; whether these few represent all; null for fp16",
    )
    before_fallback: Agreement | None = Field(
        None, description="agreement with every layer in int8; what float layers gain; null for fp16"
    )
    float_layers: list[str] = Field(
        default_factory=list,
        description="layers kept in float, for accuracy, or, if `fastest` is there, for speed; what is not in int8",
    )
    sensitivities: dict[str, float] = Field(
        default_factory=dict,
        description="by layer, 1 − mean cosine with only that layer in int8; which layers limit int8; empty if "
        "no layer is kept in float",
    )
    layers: int | None = Field(None, description="number of quantisable layers; which share is int8; null for fp16")
    fastest: LayersBySpeed | None = Field(
        None,
        exclude_if=lambda found: found is None,  # so that the manifests of other releases keep their form
        description="times that chose layers to stay in float; null unless `calibrate.layers` was `fastest` and the "
        "target was the building machine",
    )


class Accuracies(Record):
    """Accuracy in torch, on identities that were never trained on; of a foreign network in ONNX Runtime."""

    teacher: Accuracy | None = Field(
        description="the dense network; the upper baseline. null if zoo did not train the network (`foreign`)"
    )
    dense_student: Accuracy | None = Field(
        description="the student after distillation; what distillation lost. null if zoo did not train the network"
    )
    student: Accuracy = Field(
        description="the compacted student of the release, as exported; the reference of each artifact's agreement. "
        "Of a foreign network: its graph in ONNX Runtime, in fp32"
    )


class Provenance(Record):
    """What is needed to repeat the build."""

    zoo: str = Field(description="version of zoo that built it")
    python: str = Field(description="version of Python")
    libraries: dict[str, str] = Field(description="versions of all libraries a stage depends on; what to install")
    git: str | None = Field(
        description="commit of the catalogue's folder, with + if it had changes; which zoo.yaml was used; "
        "null outside a repository"
    )
    seed: int = Field(description="random seed; the same seed gives the same draws")
    seconds: float = Field(description="wall time of all stages, s; the cost of repeating them")
    command: str = Field(description="command that repeats the build, without paths of the machine")


class Manifest(Record):
    """One release."""

    schema_version: Literal[3] = Field(3, description="version of this format; a reader refuses newer ones")
    name: Name = Field(description="name of the model in the catalogue; what users ask for, and the folder's name")
    version: Version = Field(description="version of the recipe; its content never changes once published")
    description: str = Field(description="what the model is, for lists and tables; may be empty")
    created_at: str = Field(description="when it was recorded, UTC, ISO 8601; which of two builds is newer")
    recipe: dict[str, Any] = Field(
        description="all settings of the build with their defaults, without paths of the machine; how two "
        "releases differ, and how to measure again"
    )
    recipe_digest: str = Field(description="sha256 of the recipe as JSON; whether two releases share it")
    data: DataRecord = Field(description="data set of training and test; whether two accuracies compare")
    licenses: Licenses = Field(description="licenses of code, weights and data; whether you may use it")
    ancestors: list[Ancestor] = Field(
        default=[],
        description="the release that training started from, the one that this started from, and so on; which other "
        "licenses and data count; empty if it started from none",
    )
    stages: list[StageRecord] = Field(description="stages in the order of the build; how each result was made")
    accuracy: Accuracies = Field(description="accuracy in torch; where accuracy was lost")
    compression: Compression | None = Field(
        description="what was removed, and evidence that nothing else changed; null if zoo did not train the network"
    )
    foreign: ForeignFile | None = Field(
        None,
        exclude_if=lambda file: file is None,  # so that the manifests of other releases keep their form
        description="the file that the network came from, if zoo did not train it; what the release is made of",
    )
    parity: dict[Literal["teacher", "student"], Parity] = Field(
        description="agreement of each network's graph with torch, or with the foreign file; that the compiled network "
        "is the given one"
    )
    budget: BudgetRecord | None = Field(
        None,
        description="predicted and measured, if the recipe's budget limits a figure of a target; null if it has "
        "none, or counts MACs or parameters",
    )
    calibrations: list[Calibration] = Field(
        description="one per quantised graph; what int8 was calibrated on and what it costs; empty if all is fp32"
    )
    artifacts: list[Artifact] = Field(
        description="files that run, and what they are compiled from; `content_sha256` is over these"
    )
    documents: list[File] = Field(
        description="other files: card, licenses, golden input, runner, SBOM; to use and check the release"
    )
    provenance: Provenance = Field(description="versions, seed and command; to repeat the build")

    @property
    def label(self) -> str:
        """name@version"""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> list[Artifact | File]:
        """All files of the release but the manifest itself."""
        return [*self.artifacts, *self.documents]

    @property
    def cost(self) -> Cost:
        """Cost of the network that ships."""
        if self.foreign:
            return self.foreign.cost
        assert self.compression is not None  # see `_has_one_origin`
        return self.compression.after

    @property
    def dense_cost(self) -> Cost:
        """Cost of the teacher, the baseline of ratios; of a foreign network, which has none, its own."""
        return self.compression.teacher if self.compression else self.cost

    def role(self, network: str) -> str:
        """What a network of this release is called in tables: a foreign one is nobody's student."""
        return "foreign" if self.foreign and network == "student" else network

    @property
    def reference(self) -> str:
        """What computed `accuracy`."""
        return "ONNX Runtime" if self.foreign else "torch"

    @property
    def content_sha256(self) -> str:
        """The release's identity: a digest over paths and content of its artifacts, without dates and documents."""
        listed = {artifact.path: artifact.sha256 for artifact in self.artifacts}
        return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        trained = (self.compression, self.accuracy.teacher, self.accuracy.dense_student)
        if self.foreign is None and None in trained:
            raise ValueError(
                "compression and the accuracy of teacher and student are missing, and there is no foreign file"
            )
        if self.foreign is not None and any(part is not None for part in trained):
            raise ValueError("a foreign network has neither a teacher nor a compression")
        return self

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        paths = Counter(unicodedata.normalize("NFC", file.path).casefold() for file in self.files)
        folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        if twice := sorted(path for path, count in paths.items() if count > 1):
            raise ValueError(f"a name occurs twice, perhaps in different case: {twice[0]}")
        if both := sorted(folders & paths.keys()):
            raise ValueError(f"a name is both a file and a folder: {both[0]}")
        return self


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON, as a build writes it."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n").encode()


def manifest_schema() -> dict[str, Any]:
    """The published JSON Schema of a manifest."""
    schema = Manifest.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
