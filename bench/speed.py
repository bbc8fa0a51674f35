"""Times a study's small networks on a target, and compares the accuracy of each recipe at equal milliseconds.

`python -m bench.study … --time openvino-cpu` times the networks of the first seed, all of one study in turn in one run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.trials import Trial, plan_trial
from pipeline.engine.progress import Progress
from pipeline.networks.serialization import load_network
from pipeline.recipe import Recipe
from pipeline.stages.export import deployed, write_graph
from targets.bundles.widths import WidthFigures, time_widths
from targets.contract import Job, make_target
from targets.measuring.conditions import Conditions
from targets.settings import TargetSettings

CALLS, MAX_SECONDS = 300, 120.0  # per network, and for all
DENSE = "(teacher, dense)"


@dataclass(frozen=True)
class Timed:
    """Median time of a network's call with one image."""

    recipe: str
    at: str
    p50_ms: float


def time_students(
    trials: Sequence[Trial], target: TargetSettings, progress: Progress
) -> tuple[list[Timed], Conditions]:
    """Time the small networks of finished trials, and their teacher.

    Args:
        trials: with one data set and teacher.

    Raises:
        ArtifactFailed: the runtime refuses one.
    """
    runner, size = make_target(target), trials[0].recipe.input
    names: dict[str, tuple[str, str]] = {}
    with TemporaryDirectory() as place:
        graphs: dict[str, Path] = {}
        for trial in trials:
            plan, store = plan_trial(trial, progress)
            folders = {step.step.stage: store.folder(step.step.stage, step.key) for step in plan}
            if not names:
                names["0"], graphs["0"] = (DENSE, ""), _graph(folders["teacher"], trial.recipe, Path(place) / "0.onnx")
            number = str(len(names))
            names[number] = (trial.name, trial.at)
            graphs[number] = _graph(folders["compact"], trial.recipe, Path(place) / f"{number}.onnx")
        job = Job(size.height, size.width, (1,))
        rows, conditions = time_widths(runner, graphs, Path(place), job, CALLS, MAX_SECONDS, progress.say)
    return [_timed(names[row.name], row) for row in rows], conditions


def _timed(name: tuple[str, str], row: WidthFigures) -> Timed:
    return Timed(*name, p50_ms=row.p50_ms)


def _graph(folder: Path, recipe: Recipe, path: Path) -> Path:
    size = recipe.input
    images = np.random.default_rng(0).integers(0, 256, (2, size.height, size.width, 3), np.uint8)
    write_graph(deployed(load_network(folder)), images, recipe.export.opset, path)
    return path


def at_equal_time(
    accuracy: Mapping[tuple[str, str], float], times: Sequence[Timed], reference: str
) -> dict[str, dict[str, float]]:
    """mAP of each recipe at the milliseconds that `reference` takes, by recipe and by the reference's varied value.

    Between two budgets accuracy is interpolated linearly in the logarithm of time. There is no extrapolation.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for timed in times:
        if (timed.recipe, timed.at) in accuracy:
            curves.setdefault(timed.recipe, []).append((math.log(timed.p50_ms), accuracy[timed.recipe, timed.at]))
    found: dict[str, dict[str, float]] = {}
    for timed in times:
        if timed.recipe != reference:
            continue
        at = math.log(timed.p50_ms)
        for recipe, curve in curves.items():
            places, values = zip(*sorted(curve), strict=True)
            if places[0] <= at <= places[-1]:
                found.setdefault(recipe, {})[timed.at] = float(np.interp(at, places, values))
    return found


def times_json(times: Sequence[Timed], conditions: Conditions, target: str) -> dict[str, Any]:
    """Times for the study's JSON."""
    return {"target": target, "rows": [asdict(one) for one in times], "conditions": asdict(conditions)}
