"""Measures latency: warm-up until steady, sessions in turn, and only percentiles that n calls support.

p50, p90 and p99 are point estimates, equally likely too low and too high (median-unbiased: Hyndman & Fan, Sample
quantiles in statistical packages, The American Statistician 1996, definition 8), not bounds. A percentile is estimated
only if the tail was observed: if the slowest of n calls exceeds the true percentile q with 99 % confidence, q^n ≤ 0.01.
That is n ≥ 44 for p90 and n ≥ 459 for p99; with that confidence, the slowest call itself would be the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from time import sleep
from typing import Any, ClassVar

import numpy as np

from targets.contract import Session
from targets.measuring.energy import Energy
from targets.measuring.ratio import Ratio, estimate
from targets.measuring.turns import Times, orders, take_turn, warm_up

TIMER = "whole call: uint8 array in host memory to float32 embeddings in host memory"
P90_CALLS, P99_CALLS = 44, 459
PAUSE_SECONDS = 0.05  # between turns, since threads of the previous session may still be spinning


@dataclass(frozen=True)
class Latency:
    """Latency of one artifact at one batch size."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    batch: int
    """images per call; times at another batch size do not compare"""
    calls: int
    """n, timed calls after the warm-up; which percentiles they support"""
    p50_ms: float
    """median time of a call, ms; the typical time"""
    p90_ms: float | None
    """estimate of the time that 90 % of calls don't exceed, ms; equally likely too low and too high, not a bound; null
    below 44 calls, which may have missed the tail"""
    p99_ms: float | None
    """the same for 99 % of calls, ms; what a deadline has to allow for, with some margin; null below 459 calls"""
    images_per_second: float
    """batch ÷ mean time of a call; the sustained throughput"""
    warmup_calls: int
    """calls before the first timed one; whether clocks and caches could settle"""
    steady: bool
    """whether three windows of the warm-up agreed within 5 %, and the last third of the run with its first; whether a
    second run would give the same"""
    compute_p50_ms: float | None = None
    """median without copies to and from the device, ms, by the runtime's own clock; the cost of copying; null if it has
    none"""
    energy: Energy | None = None
    """energy per image; null without a meter"""
    timer: str = TIMER
    """what the timer includes, in words; times that include something else do not compare"""


@dataclass(frozen=True)
class Timing:
    """Several sessions on one batch size, timed in turn in one run."""

    batch: int
    times: Mapping[str, Times]

    def latency(self, name: str, energy: Energy | None = None) -> Latency:
        """Latency of one session."""
        times = self.times[name]
        calls = times.calls

        def percentile(q: float, needed: int) -> float | None:
            return round(float(np.percentile(calls, q, method="median_unbiased")), 3) if len(calls) >= needed else None

        return Latency(
            batch=self.batch,
            calls=len(calls),
            p50_ms=round(median(calls), 3),
            p90_ms=percentile(90, P90_CALLS),
            p99_ms=percentile(99, P99_CALLS),
            images_per_second=round(1000 * self.batch / fmean(calls), 2),
            warmup_calls=times.warmup.calls,
            steady=times.steady,
            compute_p50_ms=round(median(times.compute), 3) if times.compute else None,
            energy=energy,
        )

    def ratio(self, name: str, baseline: str) -> Ratio:
        """Ratio of one session to another, see `targets.measuring.ratio.estimate`."""
        ours, theirs = self.times[name].medians, self.times[baseline].medians
        middle, low, high = estimate(theirs, ours)
        return Ratio(
            baseline=baseline,
            batch=self.batch,
            ratio=round(middle, 3),
            low=None if low is None else round(low, 3),
            high=None if high is None else round(high, 3),
            turns=min(len(ours), len(theirs)),
        )


def _nothing() -> None:
    """Default action between rounds: none."""


def measure_latency(
    sessions: Mapping[str, Session],
    images: np.ndarray,
    calls: int,
    max_seconds: float,
    between: Callable[[], None] = _nothing,
) -> Timing:
    """Time several sessions on one batch in turn (A B B A …), so that a drift of the machine affects all of them.

    Args:
        images: uint8 N×H×W×3, the batch of every call.
        calls: timed calls of each session.
        max_seconds: limit for each session's timed calls; its warm-up takes at most a third of it.
        between: is called before each round, outside the timing, such as `targets.measuring.conditions.Watch.look`.

    Returns:
        Times by session. The first call of every turn is not counted: caches still hold another session's data.
    """
    times = {name: Times(warm_up(session, images, max_seconds / 3)) for name, session in sessions.items()}
    for order in orders(list(sessions)):
        going = [name for name in order if len(times[name].calls) < calls and times[name].seconds < max_seconds]
        if not going:
            break
        between()
        for name in going:
            sleep(PAUSE_SECONDS)
            take_turn(sessions[name], images, times[name], calls, max_seconds)
    return Timing(len(images), times)
