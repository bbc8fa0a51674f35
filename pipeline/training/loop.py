"""One training loop for teacher and student.

What is learnt is a *task*: a module whose forward returns a dictionary of losses with the sum under `loss`, and which
may change gradients between backward pass and optimiser step.
"""

from __future__ import annotations

import csv
import math
from abc import abstractmethod
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.data.batches import TrainingBatches
from pipeline.errors import TrainingDiverged
from pipeline.files import write_text
from pipeline.progress import Progress
from pipeline.training.checkpoint import restore_checkpoint, save_checkpoint
from pipeline.training.schedule import Schedule


class Task(nn.Module):
    """The contract of what `fit` trains."""

    @property
    @abstractmethod
    def classifier(self) -> nn.Linear:
        """The layer with a learning rate of its own."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalar losses by name for images N×3×H×W and labels N; `loss` is what is minimised."""

    def start_step(self, time: float) -> None:
        """Called before each batch with the time in epochs since training began."""

    def adjust_gradients(self) -> None:
        """Called between backward pass and optimiser step."""

    def after_step(self, lr: float) -> None:
        """Called behind each optimiser step."""

    def figures(self) -> dict[str, float]:
        """What to report beside the losses at the end of an epoch."""
        return {}


def _optimizer(task: Task, schedule: Schedule) -> torch.optim.SGD:
    """Two groups, of which the second is the classifier with its own factor on the learning rate."""
    classifier = list(task.classifier.parameters())
    rest = [p for p in task.parameters() if all(p is not own for own in classifier)]
    return torch.optim.SGD(
        [{"params": rest, "factor": 1.0}, {"params": classifier, "factor": schedule.classifier_lr_factor}],
        lr=schedule.lr,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


def _keep_rows(path: Path, epochs: int) -> None:
    """Drop rows of epochs that a restored checkpoint does not hold."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(path, "".join(lines[: epochs + 1]))


def _append_row(path: Path, row: dict[str, float]) -> None:
    new = not path.exists() or not path.stat().st_size
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row.keys(), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})


def _check(means: dict[str, float], epoch: int, good: int) -> None:
    if not math.isfinite(means["loss"]):
        bad = ", ".join(name for name, value in means.items() if not math.isfinite(value))
        raise TrainingDiverged(
            f"the loss is no longer a number in epoch {epoch + 1}, step {good + 1} ({bad}). The state behind epoch "
            f"{epoch} is kept; lower `lr` or lengthen `warmup_epochs`."
        )


def fit(
    task: Task, batches: TrainingBatches, schedule: Schedule, folder: Path, device: str, progress: Progress
) -> None:
    """Train `task` in place, writing `metrics.csv` and checkpoints into `folder`, from the last checkpoint there.

    Raises:
        TrainingDiverged: a loss is infinite or not a number; the last good checkpoint stays.
    """
    task.to(device).to(memory_format=torch.channels_last)
    optimizer = _optimizer(task, schedule)
    checkpoints, metrics = folder / "checkpoints", folder / "metrics.csv"
    done = restore_checkpoint(checkpoints, task, optimizer)
    _keep_rows(metrics, done)
    if done:
        progress.say(f"resuming behind epoch {done} of {schedule.epochs}")
    steps = len(batches)
    task.train()
    with progress.bar("epochs", schedule.epochs, done) as epochs:
        for epoch in range(done, schedule.epochs):
            sums: dict[str, Tensor] = {}
            good = torch.zeros((), dtype=torch.int64, device=device)  # steps until the first loss that is no number
            lr = 0.0
            with progress.bar(f"epoch {epoch + 1}/{schedule.epochs}", steps) as bar:
                for step, (images, labels) in enumerate(batches.epoch(epoch)):
                    task.start_step(epoch + step / steps)
                    lr = schedule.lr_at(epoch + step / steps)
                    for group in optimizer.param_groups:
                        group["lr"] = lr * group["factor"]
                    images = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
                    optimizer.zero_grad(set_to_none=True)
                    losses = task(images, labels.to(device, non_blocking=True))
                    losses["loss"].backward()
                    task.adjust_gradients()
                    optimizer.step()
                    task.after_step(lr)
                    sums = {name: sums.get(name, 0) + loss.detach() for name, loss in losses.items()}
                    good += sums["loss"].isfinite()
                    means = {}
                    # Fetching figures makes the host wait for the device: not at every step.
                    if step % 10 == 0 or step == steps - 1:
                        means = {name: float(total) / (step + 1) for name, total in sums.items()}
                        _check(means, epoch, int(good))
                    bar.advance(1, **means)
            state = task.figures()
            figures = {"epoch": epoch + 1, "lr": lr, **means, **state}
            _append_row(metrics, figures)
            save_checkpoint(checkpoints, epoch + 1, task, optimizer)
            progress.figures(f"epoch {epoch + 1}/{schedule.epochs}", figures)
            epochs.advance(1, **state)
    task.eval()
