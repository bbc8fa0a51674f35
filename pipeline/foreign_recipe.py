"""The recipe of a network that zoo did not train: what becomes of its ONNX file."""

from __future__ import annotations

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.data.gate import Gate
from pipeline.data.images import Input
from pipeline.foreign.settings import Foreign
from pipeline.recipe import Shipped, Version
from pipeline.settings import Settings
from pipeline.stages.calibrate import Calibrate
from pipeline.stages.export import Export
from pipeline.stages.measure import Measure


class ForeignRecipe(Settings):
    """All settings of `zoo add`; those that a recipe of zoo.yaml has too mean the same there.

    `export.opset` is that to which an older graph is converted.
    """

    description: str = ""
    version: Version = "1.0.0"
    license: str
    dataset: str
    targets: tuple[str, ...] = Field(min_length=1)
    seed: int = Field(0, ge=0, lt=2**63)
    input: Input
    foreign: Foreign
    gate: Gate = Gate()
    export: Export = Export()
    calibrate: Calibrate = Calibrate()
    precision: Shipped = "auto"
    measure: Measure = Measure(dense=())

    @model_validator(mode="after")
    def _has_no_teacher(self) -> Self:
        if self.measure.dense:
            raise ValueError(
                "a network that zoo did not train has no dense teacher to measure: leave measure.dense empty"
            )
        return self
