"""One training step: forward, backward, gradient adjustment, optimiser; on one device or several."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.training import distributed as together
from pipeline.training.ema import Average
from pipeline.training.memory_format import memory_format_on
from pipeline.training.precision import precision_on
from pipeline.training.schedule import Schedule
from pipeline.training.task import Task


def _optimizer(task: Task, schedule: Schedule) -> torch.optim.SGD:
    """Two groups, the second with embedding head and classifier and their factor on the learning rate."""
    network = task.network
    head = [*network.embedder.head.parameters(), *network.classifier.parameters()]
    rest = [p for p in task.parameters() if all(p is not own for own in head)]
    return torch.optim.SGD(
        [{"params": rest, "factor": 1.0}, {"params": head, "factor": schedule.head_lr_factor}],
        lr=schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


class Learner:
    """A task with its optimiser, on this process's part of the batch.

    The task is moved to the device. Call `share` after loading a checkpoint and before the first step.

    `average` is the moving average of the weights, if the schedule has one. `precision` is that of its steps:
    never bf16 on a device that would emulate it.
    """

    def __init__(
        self, task: Task, schedule: Schedule, device: str, memory_format: torch.memory_format | None = None
    ) -> None:
        self.task, self.schedule = task, schedule
        self.device = torch.device(device)
        self.memory_format = memory_format or memory_format_on(self.device, task)
        self.precision = precision_on(self.device, schedule.precision)
        task.to(self.device).to(memory_format=self.memory_format)
        self.optimizer = _optimizer(task, schedule)
        self.average = Average(task, schedule.ema) if schedule.ema else None
        self.forward: nn.Module = task

    def share(self) -> None:
        """Train together with the other processes from here on."""
        if not together.alone():
            together.normalise_together(self.task)
            own = [self.device.index or 0] if self.device.type == "cuda" else None
            # Buffers are equal everywhere without synchronisation, which would be slow at every step.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # its new name requires a newer torch than we do
                self.forward = DistributedDataParallel(self.task, own, broadcast_buffers=False)

    def __call__(self, images: Tensor, labels: Tensor, time: float) -> dict[str, Tensor]:
        """Train on a batch; return its losses, detached."""
        self.task.start_step(time)
        lr = self.schedule.lr_at(time)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["factor"]
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.memory_format)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            losses = self.forward(images, labels.to(self.device, non_blocking=True))
        losses["loss"].backward()
        self.task.adjust_gradients()
        self.optimizer.step()
        self.task.after_step(lr)
        if self.average:
            self.average.update(self.task)
        values = together.averaged(torch.stack([loss.detach().float() for loss in losses.values()]))
        return dict(zip(losses, values.unbind(), strict=True))
