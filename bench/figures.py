"""Figures of a benchmark as JSON, with the machine, versions, command and options."""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from pipeline.files import write_text
from targets.machine.device import this_device

LIBRARIES = ("torch", "torchvision", "timm", "torch-pruning", "accelerate", "numpy", "tensorrt_rtx_cu13")
SEED = 0  # of all random draws of a benchmark, unless its options set others


def this_gpu() -> dict[str, Any] | None:
    """The first CUDA device, and the precision of torch's computations on it; None without one."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "sm": f"{properties.major}.{properties.minor}",
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        # what "fp32" means on this device
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "tf32_products": torch.backends.cuda.matmul.allow_tf32,
    }


def _driver() -> str | None:
    try:
        import pynvml  # type: ignore[import-untyped]

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # noqa: BLE001 - not installed, or no driver library: then it is unknown
        return None


def installed(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of the installed ones among these libraries."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command() -> str:
    """Command line of this program, as one types it."""
    spec = sys.modules["__main__"].__spec__
    return shlex.join(["python", *(["-m", spec.name] if spec else sys.argv[:1]), *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """The machine of the figures."""
    return {
        "device": asdict(this_device()),
        "gpu": this_gpu(),
        "python": platform.python_version(),
        "libraries": installed(),
    }


def write_figures(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Write to `options.json` if given. A further call replaces the file in one rename."""
    if options.json:
        content = {
            **figures,
            "command": command(),
            "options": {key: value for key, value in vars(options).items() if key != "json"},
            **machine(),
        }
        write_text(options.json, json.dumps(content, indent=2, default=str) + "\n")
