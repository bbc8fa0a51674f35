"""Where a release comes from: data, stages, ancestors, the file of a foreign network; and how to repeat its build."""

from __future__ import annotations

from pydantic import Field

from pipeline.networks.cost import Cost
from pipeline.recipe import Version
from pipeline.training.schedule import TrainingPrecision
from zoo.release.record import Licenses, Name, Record, Sha256


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


class TrainedOn(Record):
    """What trained a network. A stage that was interrupted and continued elsewhere names the device that ended it."""

    device: str = Field(description="name of the GPU, or of the processor; another one rounds otherwise")
    precision: TrainingPrecision = Field(
        description="precision of its steps; fp32 for a recipe with bf16 if the device would emulate that"
    )


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
    trained_on: TrainedOn | None = Field(
        None,
        exclude_if=lambda known: known is None,  # so that the manifests of other releases keep their form
        description="what trained the network; null for a stage that trains none, and for zoo 0.1.0",
    )
    finished_at: str = Field(description="UTC, ISO 8601; may be long before the release, since results are kept")
    seconds: float = Field(description="wall time, s; what it costs to repeat the stage")


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
