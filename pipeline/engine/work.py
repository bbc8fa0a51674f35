"""The environment of a stage, besides its settings and inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.processes import Processes
from pipeline.engine.progress import Progress
from pipeline.files import write_text
from targets.machine.device import usable_cores


@dataclass(frozen=True)
class Work:
    """Where a stage writes and computes, and its progress.

    `out` becomes the result in one rename; `scratch` survives a kill and holds checkpoints; `cache` outlives all
    builds, for runtimes that save time with one.
    """

    out: Path
    scratch: Path
    processes: Processes
    progress: Progress
    cache: Path | None = None

    @property
    def device(self) -> str:
        """The device of this process."""
        return self.processes.device

    @property
    def main(self) -> bool:
        """Whether this process writes the result."""
        return self.processes.main

    @property
    def workers(self) -> int:
        """Processes that read images for this one: none for training on the CPU, which needs all cores."""
        return 0 if self.device == "cpu" else max(1, min(8, usable_cores() // self.processes.here))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a small JSON file of the result."""
        write_text(self.out / name, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `Work.write_json`."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
