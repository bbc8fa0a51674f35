"""Checkpoints of a training: model, its average, optimiser, random state, position.

Two are kept, since one may be damaged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.errors import StoreError
from pipeline.networks.weights import load_tensors, save_tensors

KEPT = 2


@dataclass(frozen=True)
class Position:
    """Progress of a training: whole epochs, steps of the next one, and sums of the figures for its end."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"))


def save_checkpoint(
    folder: Path, at: Position, model: nn.Module, optimizer: Optimizer, average: nn.Module | None = None
) -> None:
    """Write the state at a position and remove all but the two newest checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in slots.items() if isinstance(value, Tensor)}
    tensors |= {f"sum.{name}": value for name, value in at.sums.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    path = folder / f"epoch-{at.epoch:05d}-step-{at.step:07d}.safetensors"
    save_tensors(path, tensors, {"epoch": at.epoch, "step": at.step})
    for old in _files(folder)[:-KEPT]:
        old.unlink()


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def restore_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    otherwise: Position = Position(),
    average: nn.Module | None = None,
) -> Position:
    """Load the newest valid checkpoint; return where training continues, `otherwise` without a checkpoint.

    An incomplete one is skipped, and removed once two newer ones are written.

    Raises:
        StoreError: the checkpoint belongs to another network.
    """
    for path in reversed(_files(folder)):
        try:
            tensors, about = load_tensors(path)
        except StoreError:  # incomplete after a crash of the machine: the previous one is valid
            continue
        try:
            model.load_state_dict(_part(tensors, "model"))
            if average is not None:
                average.load_state_dict(_part(tensors, "average"))
        except RuntimeError:
            raise StoreError(
                f"checkpoint {path} belongs to another recipe. Remove {folder} to restart the stage."
            ) from None
        state: dict[int, dict[str, Any]] = {}
        for name, value in _part(tensors, "optimizer").items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return Position(int(about["epoch"]), int(about["step"]), _part(tensors, "sum"))
    return otherwise
