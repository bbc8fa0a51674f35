"""A recipe: how to build one model. The settings of the stages, put together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.networks.build import Network
from pipeline.settings import Settings
from pipeline.stages.compact import Compact
from pipeline.stages.distill import Distill
from pipeline.stages.export import Export
from pipeline.stages.measure import Measure
from pipeline.stages.teacher import Teacher

Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]


class Recipe(Settings):
    """One model of the catalogue. `dataset` and `targets` are names in the same catalogue."""

    description: str = ""
    version: Version = "1.0.0"
    dataset: str
    targets: tuple[str, ...] = Field(min_length=1)
    seed: int = Field(0, ge=0, lt=2**63)
    input: Input = Input()
    network: Network
    sampling: Sampling = Sampling()
    teacher: Teacher = Teacher()
    distill: Distill = Distill()
    compact: Compact = Compact()
    export: Export = Export()
    measure: Measure = Measure()

    @model_validator(mode="after")
    def _student_can_start(self) -> Self:
        if self.distill.init == "pretrained" and not self.teacher.pretrained and self.teacher.weights is None:
            raise ValueError(
                "distill.init is pretrained, but the teacher has no pretrained weights: set distill.init to teacher or "
                "random, or teacher.weights to a file"
            )
        return self
