"""A recipe: how to build one model, with the settings of all stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline.data.gate import Gate
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.engine.step import NetworkName
from pipeline.errors import WeightsError
from pipeline.networks.factory import Network, Weights, normalisation_of
from pipeline.networks.pretrained import Places, Start
from pipeline.settings import Settings
from pipeline.stages.calibrate import Calibrate
from pipeline.stages.compact import Compact
from pipeline.stages.distill import Distill
from pipeline.stages.export import Export
from pipeline.stages.measure import Measure
from pipeline.stages.teacher import Teacher

Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$")]

Shipped = Annotated[
    Literal["auto", "fp32", "fp16", "int8"],
    Field(description="precision that ships; auto: the fastest on the target that passes the accuracy gate"),
]

HubModel = Annotated[
    str, StringConstraints(max_length=96, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")
]


class Recipe(Settings):
    """One model of the catalogue. `dataset` and `targets` are names in the same catalogue."""

    model_config = ConfigDict(serialize_by_alias=True)

    description: str = ""
    version: Version = "1.0.0"
    license: str = Field("not stated", description="license of the weights: an SPDX expression, or words")
    base_model: HubModel | None = Field(
        None,
        exclude_if=lambda model: model is None,  # so that recipes without it keep their digests
        description="the network on the Hugging Face Hub that local weights (`teacher.weights`, `distill.weights`) are "
        "a copy of, for the model card; for downloaded weights it is known",
    )
    parent: str | None = Field(
        None,
        alias="from",
        min_length=1,
        exclude_if=lambda release: release is None,
        description="a release that training starts from: NAME, NAME@VERSION or NAME@^RANGE",
    )
    dataset: str
    targets: tuple[str, ...] = Field(min_length=1)
    seed: int = Field(0, ge=0, lt=2**63)
    input: Input = Input()
    network: Network
    sampling: Sampling = Sampling()
    gate: Gate = Gate()
    teacher: Teacher = Teacher()
    distill: Distill = Distill()
    compact: Compact = Compact()
    export: Export = Export()
    calibrate: Calibrate = Calibrate()
    precision: Shipped = "auto"
    measure: Measure = Measure()

    @property
    def teacher_network(self) -> Network:
        """The student's network, with the teacher's architecture and stride if these differ."""
        teacher, own = self.teacher, self.network
        return own.model_copy(
            update={
                "architecture": teacher.architecture or own.architecture,
                "last_stride": teacher.last_stride or own.last_stride,
            }
        )

    @property
    def teacher_is_released(self) -> bool:
        """Whether the teacher starts as the network of the release in `from`."""
        return self.teacher.pretrained == "release"

    @property
    def student_is_released(self) -> bool:
        """Whether the student starts with the widths of the release in `from`: from it, or from a teacher that does."""
        return self.distill.init == "release" or (self.distill.init == "teacher" and self.teacher_is_released)

    @property
    def student_weights(self) -> Path | None:
        """Local pretrained weights of the student: its own, or the teacher's if the architectures are equal."""
        shared = self.teacher_network == self.network
        return self.distill.weights or (self.teacher.weights if shared else None)

    def starts(self) -> dict[NetworkName, Start]:
        """The pretrained weights that teacher and student start from, those of them that do."""
        found: dict[NetworkName, Start] = {}
        teacher, student = self.teacher_network.architecture, self.network.architecture
        if self.teacher.weights or self.teacher.pretrained is True:
            found["teacher"] = Start(teacher, self.teacher.weights, self.teacher.revision)
        if self.student_weights or self.distill.init == "pretrained":
            shared = self.teacher_network == self.network
            revision = self.distill.revision or (self.teacher.revision if shared else None)
            found["student"] = Start(student, self.student_weights, revision)
        return found

    def pretrained_weights(self, places: Places) -> dict[NetworkName, Weights]:
        """Initial weights of teacher and student; files on the Hub by commit and sha256, without downloading them.

        Raises:
            WeightsError: they can't be found or identified.
        """
        starts = self.starts()
        known = {start: places.find(start) for start in dict.fromkeys(starts.values())}
        networks: tuple[NetworkName, ...] = ("teacher", "student")
        return {network: known[starts[network]] if network in starts else None for network in networks}

    def settled(self) -> Self:
        """The recipe with explicit mean and deviation: its own, or those of the pretrained weights it starts from.

        timm knows them by the architecture's name, including its tag (`vit_base_patch16_224.augreg_in21k`), also for a
        local file. Without pretrained weights they are ImageNet's.

        Raises:
            WeightsError: teacher and student start from weights with different normalisations.
        """
        if self.input.mean and self.input.std:
            return self
        pretrained = self.teacher.pretrained is True or self.teacher.weights is not None
        starting = {self.teacher_network.architecture} if pretrained else set()
        starting |= {self.network.architecture} if self.distill.init == "pretrained" else set()
        wanted = {name: found for name in sorted(starting) if (found := normalisation_of(name))}
        if len({*wanted.values()}) > 1:
            told = "; ".join(f"{name}: mean {mean}, std {std}" for name, (mean, std) in wanted.items())
            raise WeightsError(
                f"teacher and student start from weights that were trained with different normalisations ({told}). Set "
                "input.mean and input.std, or start the student from random weights (distill.init)."
            )
        mean, std = next(iter(wanted.values()), self.input.normalisation)
        said = {"mean": self.input.mean or mean, "std": self.input.std or std}
        return self.model_copy(update={"input": self.input.model_copy(update=said)})

    @model_validator(mode="after")
    def _revisions_are_of_the_hub(self) -> Self:
        if self.teacher.revision and (self.teacher.weights or self.teacher.pretrained is not True):
            raise ValueError(
                "teacher.revision pins weights on the Hub, but the teacher starts from others: leave it out (null), or "
                "set teacher.pretrained to true and leave out teacher.weights"
            )
        if self.distill.revision and (self.student_weights or self.distill.init != "pretrained"):
            raise ValueError(
                "distill.revision pins weights on the Hub, but the student starts from others: leave it out (null), or "
                "set distill.init to pretrained and leave out weights"
            )
        return self

    @model_validator(mode="after")
    def _release_is_named_and_read(self) -> Self:
        released = self.teacher_is_released or self.distill.init == "release"
        if released and self.parent is None:
            key = "teacher.pretrained" if self.teacher_is_released else "distill.init"
            raise ValueError(f"{key}: release needs a release: set from, as in from: resnet18-hcmc@^1")
        if self.parent is not None and not released:
            raise ValueError(
                f"nothing starts from {self.parent}: set teacher.pretrained or distill.init to release, or leave out "
                "from"
            )
        if self.teacher_is_released and self.teacher.weights:
            raise ValueError("the teacher starts from a release or from teacher.weights: leave one of them out")
        if self.distill.init == "release" and self.distill.weights:
            raise ValueError("the student starts from a release or from distill.weights: leave one of them out")
        return self

    @model_validator(mode="after")
    def _student_can_start(self) -> Self:
        if self.distill.init == "pretrained" and not self.teacher.pretrained and self.student_weights is None:
            raise ValueError(
                "distill.init is pretrained, but there are no pretrained weights: set distill.init to teacher or "
                "random, or teacher.weights (distill.weights for another architecture) to a file"
            )
        if self.distill.init == "teacher" and self.teacher_network != self.network:
            raise ValueError(
                f"a {self.network.architecture} can't start from a {self.teacher_network.architecture}'s weights: set "
                "distill.init to pretrained or random"
            )
        return self
