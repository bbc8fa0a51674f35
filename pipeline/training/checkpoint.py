"""Checkpoints of a training: model, optimiser, random state. Two are kept, so that one may be broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.errors import StoreError
from pipeline.networks.weights import load_tensors, save_tensors

KEPT = 2


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"))


def save_checkpoint(folder: Path, epoch: int, model: nn.Module, optimizer: Optimizer) -> None:
    """Write the state behind `epoch` finished epochs and drop all but the two newest checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in slots.items() if isinstance(value, Tensor)}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    save_tensors(folder / f"epoch-{epoch:05d}.safetensors", tensors, {"epoch": epoch})
    for old in _files(folder)[:-KEPT]:
        old.unlink()


def restore_checkpoint(folder: Path, model: nn.Module, optimizer: Optimizer) -> int:
    """Load the newest whole checkpoint, if there is one; epochs already done.

    Raises:
        StoreError: the checkpoint is of another network.
    """
    for path in reversed(_files(folder)):
        try:
            tensors, about = load_tensors(path)
        except StoreError:  # cut short by a crash of the machine: the one before is whole
            path.unlink()
            continue
        weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        try:
            model.load_state_dict(weights)
        except RuntimeError:
            raise StoreError(
                f"checkpoint {path} is of another recipe. Remove {folder}; the stage then starts from the beginning."
            ) from None
        state: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return int(about["epoch"])
    return 0
