"""What is trained: a module that returns losses and may change gradients before the optimiser step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from pipeline.training.supervised import Classified


class Task(nn.Module):
    """Interface for `pipeline.training.loop.fit`; `loss` is the sum of the losses."""

    @property
    @abstractmethod
    def network(self) -> Classified:
        """The trained network; its head and classifier have their own learning rate."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalar losses by name for images N×3×H×W and labels N; `loss` is minimised."""

    def start_step(self, time: float) -> None:
        """Called before each batch, with the time in epochs since training began."""

    def adjust_gradients(self) -> None:
        """Called between backward pass and optimiser step."""

    def after_step(self, lr: float) -> None:
        """Called after each optimiser step."""

    def after_average(self, average: nn.Module) -> None:
        """Called after each update of the network's average, a module of the same form."""

    def figures(self) -> dict[str, float]:
        """Figures to report with the losses at the end of an epoch."""
        return {}
