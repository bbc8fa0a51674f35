"""run.py: embeds images without zoo. A source file of this package, with the one that reads images put into it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.files import write_bytes
from zoo.release.layout import RUNNER

IMPORT = "from pipeline.data.decoding import UNREADABLE, open_rgb\n"


def runner_source() -> str:
    """run.py as a release has it: what it imports of zoo stands in it."""
    runner = files("zoo.documents").joinpath(RUNNER).read_text(encoding="utf-8")
    decoding = files("pipeline.data").joinpath("decoding.py").read_text(encoding="utf-8")
    before, found, behind = runner.partition(IMPORT)
    assert found, f"{RUNNER} imports nothing of zoo but its way to read images"
    return before + decoding.replace("from __future__ import annotations\n\n", "", 1) + behind


def write_runner(folder: Path) -> str:
    """Write it; its path in the release. It reads what `zoo.documents.golden` writes."""
    write_bytes(folder / RUNNER, runner_source().encode())
    return RUNNER
