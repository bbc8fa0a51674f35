"""The training loop for teacher and student: epochs, their figures, and checkpoints."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from pipeline.data.batches import TrainingBatches
from pipeline.engine.processes import Processes
from pipeline.errors import LaunchError, TrainingDiverged
from pipeline.files import write_text
from pipeline.progress import Progress
from pipeline.training.checkpoint import Position, restore_checkpoint, save_checkpoint
from pipeline.training.learner import Learner
from pipeline.training.schedule import Schedule
from pipeline.training.task import Task

CHECKPOINT_SECONDS = 300.0  # largest loss of work in a long epoch


def _keep_rows(path: Path, epochs: int) -> None:
    """Drop rows of epochs after the restored checkpoint."""
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


def _means(sums: dict[str, Tensor], steps: int, epoch: int) -> dict[str, float]:
    """Mean losses of an epoch so far. Reading them makes the host wait for the device, so not at every step.

    Raises:
        TrainingDiverged: one is not finite.
    """
    means = {name: float(total) / steps for name, total in sums.items()}
    good = round(means.pop("finite") * steps)  # steps before the first loss that is not finite
    if not math.isfinite(means["loss"]):
        bad = ", ".join(name for name, value in means.items() if not math.isfinite(value))
        raise TrainingDiverged(f"the loss is not finite in epoch {epoch + 1}, step {good + 1} ({bad})")
    return means


def _check_state(task: Task, epoch: int) -> None:
    """Check that weights are finite after the last step, whose loss is never computed.

    Raises:
        TrainingDiverged: they are not.
    """
    values = {name: value for name, value in task.state_dict().items() if value.is_floating_point()}
    device = next(task.parameters()).device  # counts of a budget are on the host
    if not bool(torch.stack([value.isfinite().all().to(device) for value in values.values()]).all()):
        bad = next(name for name, value in values.items() if not bool(value.isfinite().all()))
        raise TrainingDiverged(f"weights are not finite after epoch {epoch + 1} ({bad})")


def fit(
    task: Task,
    batches: TrainingBatches,
    schedule: Schedule,
    folder: Path,
    processes: Processes,
    progress: Progress,
    start: int = 0,
    stop: int | None = None,
) -> None:
    """Train `task` in place, from the last checkpoint in `folder`; writes `metrics.csv` and checkpoints there.

    `start` and `stop` limit the epochs of the schedule to train. With `schedule.ema` the task's network is the average
    of its weights at the end of the schedule; a part of a schedule begins its own average.

    A checkpoint is written after each epoch, and every five minutes in long epochs. The result does not depend on
    interruptions, nor, up to rounding, on the number of processes.

    Raises:
        TrainingDiverged: a loss or a weight is not finite; the last good checkpoint is kept.
    """
    learn = Learner(task, schedule, processes.device)
    if learn.precision != schedule.precision:
        progress.say("training in fp32: this device has no instructions for bf16, which would be many times slower")
    checkpoints, metrics = folder / "checkpoints", folder / "metrics.csv"
    stop = schedule.epochs if stop is None else stop
    at = restore_checkpoint(checkpoints, task, learn.optimizer, Position(start), learn.average)
    if at != Position(start):
        progress.say(f"resuming after epoch {at.epoch} of {schedule.epochs}" + f", step {at.step}" * bool(at.step))
    if not processes.agree(f"{at.epoch} {at.step}"):
        raise LaunchError(f"processes find different checkpoints in {checkpoints}: all machines must share ZOO_HOME.")
    learn.share()
    if processes.main:
        _keep_rows(metrics, at.epoch - start)
    steps = len(batches)
    task.train()
    saved = monotonic()
    with progress.bar("epochs", schedule.epochs, at.epoch) as epochs:
        for epoch in range(at.epoch, stop):
            sums = {name: value.to(processes.device) for name, value in at.sums.items()}
            first, waited, begun = at.step, 0.0, monotonic()
            with progress.bar(f"epoch {epoch + 1}/{schedule.epochs}", steps, first) as bar:
                source = batches.epoch(epoch, first)
                for step in range(first, steps):
                    asked = monotonic()
                    images, labels = next(source)
                    waited += monotonic() - asked
                    losses = learn(images, labels, epoch + step / steps)
                    total = {name: sums.get(name, 0) + loss for name, loss in losses.items()}
                    sums = {**total, "finite": sums.get("finite", 0) + total["loss"].isfinite()}
                    last, due = step == steps - 1, processes.main and monotonic() - saved > CHECKPOINT_SECONDS
                    means = _means(sums, step + 1, epoch) if step % 10 == 0 or last or due else {}
                    bar.advance(1, **means)
                    if due and not last:
                        _check_state(task, epoch)
                        save_checkpoint(
                            checkpoints, Position(epoch, step + 1, sums), task, learn.optimizer, learn.average
                        )
                        saved = monotonic()
            _check_state(task, epoch)
            state = task.figures()
            if not processes.agree(str(state)):
                raise LaunchError(
                    f"the processes have different students after epoch {epoch + 1}: their GPUs round differently. "
                    "Train on equal GPUs; run the command again to continue from the last checkpoint."
                )
            at = Position(epoch + 1)
            if processes.main:
                lr = schedule.lr_at(epoch + (steps - 1) / steps)
                figures = {"epoch": epoch + 1, "lr": lr, **means, **state}
                _append_row(metrics, figures)
                save_checkpoint(checkpoints, at, task, learn.optimizer, learn.average)
                saved = monotonic()
                told = {**figures, "waiting": waited / (monotonic() - begun)}
                progress.figures(f"epoch {epoch + 1}/{schedule.epochs}", told)
            epochs.advance(1, **state)
    if learn.average and stop == schedule.epochs:
        learn.average.give(task)
    task.eval()
