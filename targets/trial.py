"""One run in which all artifacts of a target are timed against each other, and what the machine was like meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from targets.conditions import Conditions, Watch
from targets.contract import Session
from targets.energy import find_meter, measure_energy
from targets.latency import Latency, measure_latency
from targets.ratio import Ratio
from targets.settings import TargetSettings


@dataclass(frozen=True)
class Trial:
    """Figures by session, each a list over batch sizes; ratios to the baseline, if there is one."""

    latency: Mapping[str, Sequence[Latency]]
    ratios: Mapping[str, Sequence[Ratio]]
    conditions: Conditions


def nvidia_gpu(settings: TargetSettings) -> int | None:
    """CUDA's number of the NVIDIA GPU that a target computes on, whose clocks and energy then count; else none."""
    if settings.runtime.startswith("tensorrt"):
        number = settings.device.partition(".")[2]
        return int(number) if number.isdecimal() else 0
    return 0 if settings.device.startswith(("CUDA", "TensorRT")) else None


def run_trial(
    sessions: Mapping[str, Session],
    images: np.ndarray,
    batches: Sequence[int],
    calls: int,
    max_seconds: float,
    baseline: str | None,
    nvidia: int | None,
) -> Trial:
    """Time sessions at all batch sizes, in turn.

    Args:
        images: uint8 N×H×W×3, repeated to the size of a batch.
        calls, max_seconds: see `measure_latency`.
        baseline: the session that ratios are taken to.
        nvidia: see `nvidia_gpu`.
    """
    watch = Watch(nvidia=nvidia)
    latency: dict[str, list[Latency]] = {name: [] for name in sessions}
    ratios: dict[str, list[Ratio]] = {name: [] for name in sessions}
    timings = []
    for batch in batches:
        repeated = np.ascontiguousarray(np.resize(images, (batch, *images.shape[1:])))
        timings.append((repeated, measure_latency(sessions, repeated, calls, max_seconds, between=watch.look)))
    conditions, meter = watch.conditions(), find_meter(nvidia)
    for repeated, timing in timings:
        for name, session in sessions.items():
            energy = measure_energy(meter, session, repeated) if meter else None
            latency[name].append(timing.latency(name, energy))
            if baseline and name != baseline:
                ratios[name].append(timing.ratio(name, baseline))
    return Trial(latency, ratios, conditions)
