"""A precision that a target does not support: the reason is stored in place of its graph or artifacts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.errors import NotQuantisable
from pipeline.engine.step import Variant
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.files import write_text
from pipeline.stages.measurement import BrokenVariant, Refusal
from targets.contract import describe_runtime, make_target
from targets.errors import ArtifactFailed, in_a_line
from targets.settings import Precision, TargetSettings

BROKEN = "broken.json"


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
        runtime = describe_runtime(make_target(runs), runs) if isinstance(error, ArtifactFailed) else None
        _write(work, Refusal(reason=in_a_line(error, *folders), runtime=runtime))


def indispensable(run: Callable[..., None], needing: str, work: Work, **given: Any) -> None:
    """Run the stage of the precision that a target can't do without.

    Args:
        run: the stage's function, which receives the remaining arguments.
        needing: name of the target, for the error.

    Raises:
        ArtifactFailed: the target does not support it; the message says what to do.
    """
    try:
        run(work, **given)
    except ArtifactFailed as error:
        folders = [work.out, work.scratch, *(value for value in given.values() if isinstance(value, Path))]
        reason = in_a_line(error, *folders).rstrip(".")
        raise ArtifactFailed(f"{reason}. So there is nothing for {needing}: build without this target.") from error


def _write(work: Work, refusal: Refusal) -> None:
    write_text(work.out / BROKEN, refusal.model_dump_json(indent=2) + "\n")
    work.progress.say(f"broken: {refusal.reason}")


def read_refusal(folder: Path) -> Refusal | None:
    """Why the result in a folder is broken; none if it is not."""
    path = folder / BROKEN
    return Refusal.model_validate_json(path.read_bytes()) if path.exists() else None


def passed_on(work: Work, earlier: Path) -> bool:
    """Whether an earlier stage's result is broken; then this one's is copied from it."""
    refusal = read_refusal(earlier)
    if refusal:
        _write(work, refusal)
    return refusal is not None


def parted(folders: Mapping[Variant, Path]) -> tuple[dict[Variant, Path], list[BrokenVariant]]:
    """Working and broken variants.

    Args:
        folders: results of a stage.
    """
    sound: dict[Variant, Path] = {}
    broken: list[BrokenVariant] = []
    for variant, folder in folders.items():
        if refusal := read_refusal(folder):
            broken.append(BrokenVariant.of(variant, refusal))
        else:
            sound[variant] = folder
    return sound, broken


def check_left(broken: Sequence[BrokenVariant], precisions: Sequence[Precision]) -> None:
    """Check that something may still ship.

    Raises:
        CheckFailed: everything that may is broken; the message says why.
    """
    why = {one.precision: one.reason for one in broken if one.network == "student"}
    if {*precisions} <= {*why}:
        told = "; ".join(f"{precision} is broken: {why[precision]}" for precision in precisions)
        raise CheckFailed(f"nothing can ship. {told.rstrip('.')}. Allow another precision (precision: auto).")
