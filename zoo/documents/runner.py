"""run.py: embeds images without zoo. A source file of this package, copied as it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.files import write_bytes

RUNNER = "run.py"


def write_runner(folder: Path) -> str:
    """Write it; its path in the release. It reads what `zoo.documents.golden` writes."""
    write_bytes(folder / RUNNER, files("zoo.documents").joinpath(RUNNER).read_bytes())
    return RUNNER
