"""Weights on disk: safetensors, never pickle; loaded strictly or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.errors import StoreError
from pipeline.files import write_bytes
from targets.errors import first_line


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Write tensors with a JSON note, completely or not at all."""
    plain = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    write_bytes(path, save(plain, {"about": json.dumps(about or {})}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and note of `save_tensors`.

    Raises:
        StoreError: the file is missing, truncated or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise StoreError(
            f"can't read {path}: {first_line(error)}. If a stage wrote it, remove {path.parent} to run that stage "
            "again."
        ) from None


def save_module(path: Path, module: nn.Module) -> None:
    """Write a module's state."""
    save_tensors(path, module.state_dict())


def load_module(path: Path, module: nn.Module) -> None:
    """Load a module's state; every name and shape must agree.

    Raises:
        StoreError: the file can't be read or does not match.
    """
    tensors, _ = load_tensors(path)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise StoreError(f"{path} does not match the network: {' '.join(str(error).split())[:200]}") from None
