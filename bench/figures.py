"""Figures of a bench as JSON, with the device, the version of torch and the options that they belong to."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from targets.device import this_device


def write_figures(options: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Write to `options.json`, if that was asked for."""
    if options.json:
        content = {
            **figures,
            "options": {key: value for key, value in vars(options).items() if key != "json"},
            "device": asdict(this_device()),
            "torch": version("torch"),
        }
        options.json.write_text(json.dumps(content, indent=2, default=str) + "\n")
