"""A recipe: how to build one model. The settings of the stages, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline.data.gate import Gate
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.networks.build import Network
from pipeline.settings import Settings
from pipeline.stages.calibrate import Calibrate
from pipeline.stages.compact import Compact
from pipeline.stages.distill import Distill
from pipeline.stages.export import Export
from pipeline.stages.measure import Measure
from pipeline.stages.teacher import Teacher

Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$")]


class Recipe(Settings):
    """One model of the catalogue. `dataset` and `targets` are names in the same catalogue."""

    description: str = ""
    version: Version = "1.0.0"
    license: str = Field("not stated", description="of the weights: an SPDX expression, or words")
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
    precision: Literal["auto", "fp32", "fp16", "int8"] = Field(
        "auto", description="of what ships; auto: the fastest on the target that passes the gate on accuracy"
    )
    measure: Measure = Measure()

    @property
    def teacher_network(self) -> Network:
        """The student's network, with the teacher's architecture if it has one of its own."""
        return self.network.model_copy(update={"architecture": self.teacher.architecture or self.network.architecture})

    @property
    def student_weights(self) -> Path | None:
        """Local pretrained weights of the student: its own, or the teacher's if that is of the same architecture."""
        shared = self.teacher_network == self.network
        return self.distill.weights or (self.teacher.weights if shared else None)

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
