"""Times of a release's compiled artifacts, batch 1: fp32 and int8 of one target in turn, in one run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.engine.step import Variant
from pipeline.progress import Progress
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.unsupported import parted
from targets.contract import Session, make_target, thread_count
from targets.measuring.quiet import assess
from targets.measuring.trial import run_trial
from targets.settings import Precision
from zoo.building.build import Build

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
CALLS, MAX_SECONDS = 459, 30.0


@dataclass(frozen=True)
class RowTimes:
    """Median times of a call with one image.

    Attributes:
        p50_ms: by precision.
        doubt: why they are unreliable; None if they are reliable.
    """

    release: str
    target: str
    threads: int
    p50_ms: dict[str, float]
    doubt: str | None
    conditions: dict[str, Any]


def time_release(build: Build, progress: Progress) -> list[RowTimes]:
    """Time a release that was added, target by target; the store has its artifacts.

    Raises:
        ArtifactFailed: the runtime refuses one.
    """
    found = []
    size = build.recipe.input
    images = np.random.default_rng(0).integers(0, 256, (1, size.height, size.width, 3), np.uint8)
    for name, settings in build.targets.items():
        target = make_target(settings)
        folders = {
            Variant("student", one.step.id.precision): build.store.folder("compile", one.key)
            for one in build.plan
            if (one.step.stage, one.step.id.target) == ("compile", name) and one.step.id.precision in PRECISIONS
        }
        sound, _ = parted(folders)
        sessions: dict[str, Session] = {
            variant.precision: target.load(folder / ARTIFACTS) for variant, folder in sound.items()
        }
        trial = run_trial(sessions, images, (1,), CALLS, MAX_SECONDS, None, target.gpu_bus_id, progress.say)
        p50 = {precision: round(rows[0].p50_ms, 4) for precision, rows in trial.latency.items()}
        unsteady = sum(not rows[0].steady for rows in trial.latency.values())
        found.append(
            RowTimes(
                release=f"{build.name}@{build.recipe.version}",
                target=name,
                threads=thread_count(settings),
                p50_ms=p50,
                doubt=assess(trial.conditions, unsteady).why,
                conditions=asdict(trial.conditions),
            )
        )
    return found
