"""run.py: embeds images without zoo. A source file of this package with its image reader inlined."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.files import write_bytes
from zoo.layout import RUNNER

IMPORT = "from pipeline.data.decoding import UNREADABLE, open_rgb\n"


def runner_source() -> str:
    """Source of run.py in a release, with zoo's image reader inlined."""
    runner = files("zoo.documents").joinpath(RUNNER).read_text(encoding="utf-8")
    decoding = files("pipeline.data").joinpath("decoding.py").read_text(encoding="utf-8")
    before, found, behind = runner.partition(IMPORT)
    assert found, f"{RUNNER} must import only zoo's image reader"
    return before + decoding.replace("from __future__ import annotations\n\n", "", 1) + behind


def write_runner(folder: Path) -> str:
    """Write it, and return its path in the release. It reads the files of `zoo.documents.golden`."""
    write_bytes(folder / RUNNER, runner_source().encode())
    return RUNNER
