"""An exponential moving average of what is trained (Polyak and Juditsky 1992), by timm's ModelEmaV3."""

from __future__ import annotations

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from pipeline.training.task import Task


class Average(nn.Module):
    """The average of a task's network over its steps: weights, and statistics of batch norms too. All of it is state.

    Its decay grows with the steps, 1 - (1 + steps)^(-2/3), up to `decay`: an average of few steps forgets the first
    ones soon. Every process keeps its own, which are equal because the weights are.

    Args:
        decay: of the average, by step.
    """

    def __init__(self, task: Task, decay: float) -> None:
        super().__init__()
        self.ema = ModelEmaV3(task.network, decay=decay, use_warmup=True)
        self.steps = 0  # known to the host, so that nothing waits for the device

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        self.steps = int(state)

    def update(self, task: Task) -> None:
        """Take in the network behind an optimiser step."""
        self.steps += 1
        self.ema.update(task.network, self.steps)
        task.after_average(self.ema.module)

    def give(self, task: Task) -> None:
        """Put the average in the network's place."""
        task.network.load_state_dict(self.ema.module.state_dict())
