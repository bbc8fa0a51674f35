"""Settings of the method, apart from its code so that a recipe can be read without torch."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.settings import Settings
from pipeline.training.schedule import Supervision

Distance = Literal["cosine", "euclidean"]


class Resetting(Settings):
    """Neighbours K, share p of candidate channels, rows of the feature bank, and how neighbours are found."""

    neighbours: int = Field(2, ge=1)
    share: float = Field(0.5, ge=0, le=1)
    bank: int = Field(24_000, ge=1)
    distance: Distance = "cosine"

    @model_validator(mode="after")
    def _bank_holds_neighbours(self) -> Self:
        if self.neighbours > self.bank:
            raise ValueError(f"{self.neighbours} neighbours can't come from a bank of {self.bank} rows")
        return self


class Distillation(Supervision):
    """Sites, the weights of the five losses, and the two phases.

    `learn_epochs` is the length of the first phase; left out, it is a sixth of `epochs` (20 of 120 in the paper).
    """

    sites: Literal["spatial", "all"] = "spatial"
    learn_epochs: float | None = Field(None, ge=0)
    logits_weight: float = Field(1.0, ge=0)
    temperature: float = Field(2.0, gt=0)
    features_weight: float = Field(0.5, ge=0)
    sparsity: Literal["subgradient", "proximal"] = Field(
        "subgradient",
        description="the paper's gradient λ·row/‖row‖; or, for short schedules, row := row·max(0, 1 − lr·λ/‖row‖), "
        "which ends in exact zeros",
    )
    sparsity_weight: float = Field(0.004, ge=0, description="λ, weight of the group lasso on compactor rows")
    rggr: Resetting = Resetting()

    @property
    def learn(self) -> float:
        """Epochs of the first phase."""
        return self.epochs / 6 if self.learn_epochs is None else self.learn_epochs

    @model_validator(mode="after")
    def _leaves_time_to_compress(self) -> Self:
        if self.learn >= self.epochs:
            raise ValueError(f"learn_epochs ({self.learn:g}) leaves nothing of {self.epochs} epochs to compress in")
        return self
