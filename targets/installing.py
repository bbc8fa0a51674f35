"""The command that installs an extra of this project."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def install_command(extra: str, distribution: str | None = None) -> str:
    """For a checkout the checkout itself, else the package by name; in a bundle the runtime alone."""
    if (CHECKOUT / "pyproject.toml").exists():
        return f"pip install -e '{CHECKOUT}[{extra}]'"
    alone = distribution and find_spec("zoo") is None
    return f"pip install {distribution}" if alone else f"pip install 'edge-model-zoo[{extra}]'"
