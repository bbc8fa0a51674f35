"""The record of one release: its inputs, its accuracy, and how to repeat the build.

A manifest never changes once the release is published. The speed of an artifact on a device is a separate record
beside it (`zoo.release.measurements`). The JSON Schema of this version is docs/manifest.schema.json; docs/manifest.md
explains each field. Its parts are in `zoo.release.record`, `zoo.release.lineage` and `zoo.release.compression`.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import unicodedata
from collections import Counter
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.networks.cost import Cost
from pipeline.recipe import Version
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Agreement
from targets.measuring.ratio import Ratio
from targets.settings import WeightBits
from zoo.release.command import is_command, with_target
from zoo.release.compression import BudgetRecord, Compression
from zoo.release.lineage import Ancestor, DataRecord, ForeignFile, Provenance, StageRecord
from zoo.release.record import Artifact, File, Licenses, Name, Record


class Parity(Record):
    """Agreement of the exported graph with torch."""

    min_cosine: float = Field(
        description="smallest cosine between an image's embeddings by graph and torch; shows that the export, with its "
        "preprocessing, is correct"
    )
    images: int = Field(description="number of real images compared; the size of the check")
    opset: int = Field(description="ONNX operator set of the graph; which runtimes can read it")


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
    weight_bits: WeightBits | None = Field(
        None,
        exclude_if=lambda bits: bits is None,  # so that the manifests of other releases keep their form
        description="bits of int8 weights; with 7, sums can't overflow on x86 without VNNI; null for fp16, and for "
        "int8 of zoo 0.1.0, which has 8",
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

    @property
    def int8_bits(self) -> WeightBits | None:
        """Bits of int8 weights, where manifests of zoo 0.1.0 do not say them, too; None for fp16."""
        return self.weight_bits or 8 if self.precision == "int8" else None


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

    @property
    def rebuild(self) -> str:
        """The command that builds it again: the recorded one, or a plain one if that is not one command to a shell."""
        if is_command(self.provenance.command):
            return self.provenance.command
        if self.foreign is None:
            return shlex.join(["zoo", "build", self.name])
        needed = {"--onnx": self.foreign.file, "--data": self.data.name, "--license": self.licenses.weights}
        return shlex.join(["zoo", "add", self.name, *(word for option in needed.items() for word in option)])

    def command_for(self, target: str) -> str:
        """`rebuild`, for one more target."""
        return with_target(self.rebuild, target)

    def weight_bits(self, target: str) -> WeightBits:
        """Bits of the weights of a target's int8 artifact; 8 if no calibration tells."""
        for one in self.calibrations:
            if one.network == "student" and one.target == target and one.int8_bits:
                return one.int8_bits
        return 8

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
