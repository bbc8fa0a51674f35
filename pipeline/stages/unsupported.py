"""A precision that a target does not support: the reason is stored in place of its graph or artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.errors import NotQuantisable
from pipeline.engine.step import Variant
from pipeline.engine.work import Work, read_json
from pipeline.errors import CheckFailed
from targets.contract import about_runtime, make_target
from targets.errors import ArtifactFailed, in_a_line
from targets.settings import Precision, TargetSettings

BROKEN = "broken.json"
Cell = Mapping[str, Any]  # network, precision, reason, and the runtime that refused it, if any


def breakable(run: Callable[..., None], runs: TargetSettings, work: Work, **given: Any) -> None:
    """Run the stage of one precision. If that fails, the result is `broken.json`: the reason, and the runtime.

    Args:
        run: the stage's function, which receives the remaining arguments.
        runs: settings of the target that runs its graphs.
    """
    try:
        run(work, **given)
    except (NotQuantisable, ArtifactFailed) as error:
        shutil.rmtree(work.out)
        work.out.mkdir()
        folders = [work.out, work.scratch, *(value for value in given.values() if isinstance(value, Path))]
        runtime = about_runtime(make_target(runs), runs) if isinstance(error, ArtifactFailed) else None
        _write(work, {"reason": in_a_line(error, *folders), "runtime": runtime})


def _write(work: Work, told: Mapping[str, Any]) -> None:
    work.write_json(BROKEN, told)
    work.progress.say(f"broken: {told['reason']}")


def passed_on(work: Work, earlier: Path) -> bool:
    """Whether an earlier stage's result is broken; then this one's is copied from it."""
    broken = (earlier / BROKEN).exists()
    if broken:
        _write(work, read_json(earlier / BROKEN))
    return broken


def parted(folders: Mapping[Variant, Path]) -> tuple[dict[Variant, Path], list[Cell]]:
    """Working and broken variants.

    Args:
        folders: results of a stage.
    """
    sound: dict[Variant, Path] = {}
    broken: list[Cell] = []
    for variant, folder in folders.items():
        if (folder / BROKEN).exists():
            broken.append({**variant._asdict(), **read_json(folder / BROKEN)})
        else:
            sound[variant] = folder
    return sound, broken


def check_left(broken: Sequence[Cell], precisions: Sequence[Precision]) -> None:
    """Check that something may still ship.

    Raises:
        CheckFailed: everything that may is broken; the message says why.
    """
    why = {cell["precision"]: cell["reason"] for cell in broken if cell["network"] == "student"}
    if {*precisions} <= {*why}:
        told = "; ".join(f"{precision} is broken: {why[precision]}" for precision in precisions)
        raise CheckFailed(f"nothing can ship. {told.rstrip('.')}. Allow another precision (precision: auto).")
