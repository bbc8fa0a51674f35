"""An exponential moving average of the trained network (Polyak and Juditsky 1992), by timm's ModelEmaV3."""

from __future__ import annotations

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from pipeline.training.task import Task


class Average(nn.Module):
    """The average of a task's network over steps: weights, and statistics of batch norms. All of it is state.

    Its decay grows with the steps, 1 - (1 + steps)^(-2/3), up to `decay`, so that the first steps are forgotten soon.
    Every process keeps its own average, which are equal because the weights are.

    Args:
        decay: largest decay per step.
    """

    def __init__(self, task: Task, decay: float) -> None:
        super().__init__()
        self.ema = ModelEmaV3(task.network, decay=decay, use_warmup=True)
        self.steps = 0  # on the host, so that nothing waits for the device

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        self.steps = int(state)

    def update(self, task: Task) -> None:
        """Include the network after an optimiser step."""
        self.steps += 1
        self.ema.update(task.network, self.steps)
        task.after_average(self.ema.module)

    def give(self, task: Task) -> None:
        """Replace the network by the average."""
        task.network.load_state_dict(self.ema.module.state_dict())
