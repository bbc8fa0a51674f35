"""The optimiser's settings and its learning rate over time."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.settings import Settings

HeadInit = Literal["uniform", "kaiming"]
TrainingPrecision = Literal["fp32", "bf16"]


class Schedule(Settings):
    """SGD with linear warm-up, a flat part and a cosine to `final_lr`. Lengths in epochs.

    Omitted lengths keep the paper's proportions (10, 40 and 120 epochs), so that a shorter run has the same schedule,
    compressed.
    """

    epochs: int = Field(120, ge=1)
    lr: float = Field(0.01, gt=0)
    head_lr_factor: float = Field(1.5, gt=0, description="factor on the learning rate of embedding head and classifier")
    warmup_epochs: float | None = Field(None, ge=0)
    warmup_factor: float = Field(0.1, gt=0, le=1)
    flat_until: float | None = Field(None, ge=0)
    final_lr: float = Field(1e-7, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of a moving average of the weights, which replaces them at the end; 0: none",
    )
    precision: TrainingPrecision = Field(
        "fp32",
        description="forward and backward pass; bf16 is autocast to bfloat16, weights and losses stay fp32; a device "
        "without instructions for bf16 trains in fp32",
    )

    @property
    def warmup(self) -> float:
        """Length of the warm-up in epochs."""
        return self.epochs / 12 if self.warmup_epochs is None else self.warmup_epochs

    @property
    def flat(self) -> float:
        """Epoch at which the cosine begins."""
        return self.epochs / 3 if self.flat_until is None else self.flat_until

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.warmup <= self.flat <= self.epochs:
            raise ValueError(
                f"warm-up ({self.warmup:g}), flat part ({self.flat:g}) and end ({self.epochs}) must follow each other"
            )
        return self

    def lr_at(self, epoch: float) -> float:
        """Learning rate at a time in epochs since training began."""
        if epoch < self.warmup:
            return self.lr * (self.warmup_factor + (1 - self.warmup_factor) * epoch / self.warmup)
        if epoch <= self.flat:
            return self.lr
        done = (epoch - self.flat) / (self.epochs - self.flat)
        return self.final_lr + (self.lr - self.final_lr) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


class Supervision(Schedule):
    """A schedule, the initialisation of the head, and the two losses on labels."""

    head_init: HeadInit = Field(
        "uniform",
        description="`uniform`: torch's default for the head's linear layer and for the classifier; `kaiming`: normal, "
        "with variance 2 / outputs for the one and standard deviation 0.001 for the other",
    )
    identity_weight: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    triplet_weight: float = Field(1.0, ge=0)
    margin: float = Field(0.35, ge=0)
