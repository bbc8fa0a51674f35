"""One run in which all artifacts of a target are timed in turn, with its conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from targets.contract import ProcessSession, Session
from targets.measuring.conditions import Conditions, Watch
from targets.measuring.energy import find_meter, measure_energy
from targets.measuring.latency import Latency, Timing, measure_latency
from targets.measuring.quiet import Assessment, assess, when_quiet
from targets.measuring.ratio import Ratio


@dataclass(frozen=True)
class Trial:
    """Figures by session, each a list over batch sizes; ratios to the baseline, if any."""

    latency: Mapping[str, Sequence[Latency]]
    ratios: Mapping[str, Sequence[Ratio]]
    conditions: Conditions


def run_trial(
    sessions: Mapping[str, Session],
    images: np.ndarray,
    batches: Sequence[int],
    calls: int,
    max_seconds: float,
    baseline: str | None,
    gpu: str | None,
    tell: Callable[[str], None],
) -> Trial:
    """Time sessions at all batch sizes, in turn, on an idle machine (see `quiet`); then measure their energy.

    Args:
        images: uint8 N×H×W×3, repeated to fill a batch.
        calls, max_seconds: see `measure_latency`.
        baseline: the session that ratios refer to.
        gpu: see `Target.gpu_bus_id`.
        tell: is called with messages on waiting and on repetitions.
    """
    repeated = [np.ascontiguousarray(np.resize(images, (batch, *images.shape[1:]))) for batch in batches]

    processes = {session.process for session in sessions.values() if isinstance(session, ProcessSession)}

    def run() -> tuple[list[Timing], Conditions]:
        watch = Watch(gpu, processes=processes)
        timings = [measure_latency(sessions, some, calls, max_seconds, between=watch.look) for some in repeated]
        return timings, watch.conditions()

    def assessed(found: tuple[list[Timing], Conditions]) -> Assessment:
        timings, conditions = found
        return assess(conditions, sum(not times.steady for timing in timings for times in timing.times.values()))

    timings, conditions = when_quiet(run, assessed, tell)
    meter = find_meter(gpu)
    latency: dict[str, list[Latency]] = {name: [] for name in sessions}
    ratios: dict[str, list[Ratio]] = {name: [] for name in sessions}
    for some, timing in zip(repeated, timings, strict=True):
        for name, session in sessions.items():
            metered = None if isinstance(session, ProcessSession) else meter
            energy = measure_energy(metered, session, some, watch=Watch(gpu)) if metered else None
            latency[name].append(timing.latency(name, energy))
            if baseline and name != baseline:
                ratios[name].append(timing.ratio(name, baseline))
    return Trial(latency, ratios, conditions)
