"""What is learnt: a module that gives losses and may change gradients between backward pass and optimiser step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from pipeline.training.supervised import Classified


class Task(nn.Module):
    """The contract of what `pipeline.training.loop.fit` trains; `loss` is the sum of the losses."""

    @property
    @abstractmethod
    def network(self) -> Classified:
        """What is trained and kept; its head and classifier have a learning rate of their own."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalar losses by name for images N×3×H×W and labels N; `loss` is what is minimised."""

    def start_step(self, time: float) -> None:
        """Called before each batch with the time in epochs since training began."""

    def adjust_gradients(self) -> None:
        """Called between backward pass and optimiser step."""

    def after_step(self, lr: float) -> None:
        """Called behind each optimiser step."""

    def after_average(self, average: nn.Module) -> None:
        """Called behind each update of the average of the network, a module of the same form."""

    def figures(self) -> dict[str, float]:
        """What to report beside the losses at the end of an epoch."""
        return {}
