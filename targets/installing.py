"""The command that installs an extra of this project."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def install_command(extra: str) -> str:
    """For a checkout the checkout itself, else the package by name."""
    source = f"-e '{CHECKOUT}[{extra}]'" if (CHECKOUT / "pyproject.toml").exists() else f"'edge-model-zoo[{extra}]'"
    return f"pip install {source}"
