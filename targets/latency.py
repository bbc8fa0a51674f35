"""How time is measured: warm up until it is steady, then two sessions in turn, and only percentiles that n supports.

A percentile q is stated with 99 % confidence once q^n ≤ 0.01 (the order statistic behind MLPerf's early stopping):
n ≥ 44 for p90 and n ≥ 459 for p99.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Any, ClassVar

import numpy as np

from targets.contract import Session

TIMER = "whole call: uint8 array in host memory to float32 embeddings in host memory"
P90_CALLS, P99_CALLS = 44, 459
WINDOW = 15  # calls whose median is compared while warming up
STEADY = 0.05  # three windows within this share of each other are steady
TURN = 27  # calls of one session before the other's turn: 17 turns make 459
PAUSE_SECONDS = 0.05  # between turns: threads of the session before may still be spinning for work


@dataclass(frozen=True)
class Latency:
    """Figures of one artifact at one batch size."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    batch: int
    calls: int
    """n, timed calls behind the warm-up"""
    p50_ms: float
    p90_ms: float | None
    """left out where n does not support it, as p99"""
    p99_ms: float | None
    images_per_second: float
    """batch ÷ mean time of a call"""
    warmup_calls: int
    steady: bool
    """whether warming up ended because times were steady, not because time ran out"""
    timer: str = TIMER


def _call(session: Session, images: np.ndarray) -> float:
    begun = perf_counter()
    session.embed(images)
    return 1000 * (perf_counter() - begun)


def warm_up(session: Session, images: np.ndarray, seconds: float) -> tuple[int, bool]:
    """Call until the medians of three windows in a row agree; calls made, and whether they did before time was up."""
    medians: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        medians.append(median(_call(session, images) for _ in range(WINDOW)))
        last = medians[-3:]
        if len(last) == 3 and max(last) <= (1 + STEADY) * min(last):
            return WINDOW * len(medians), True
    return WINDOW * len(medians), False


def _figures(times: list[float], batch: int, warmup: tuple[int, bool]) -> Latency:
    def percentile(q: float, calls: int) -> float | None:
        return round(float(np.percentile(times, q, method="higher")), 3) if len(times) >= calls else None

    return Latency(
        batch=batch,
        calls=len(times),
        p50_ms=round(median(times), 3),
        p90_ms=percentile(90, P90_CALLS),
        p99_ms=percentile(99, P99_CALLS),
        images_per_second=round(1000 * batch / float(np.mean(times)), 2),
        warmup_calls=warmup[0],
        steady=warmup[1],
    )


def measure_latency(
    sessions: Mapping[str, Session], images: np.ndarray, calls: int, max_seconds: float
) -> dict[str, Latency]:
    """Time several sessions on one batch, in turn (A B A B …), so that a drift of the machine meets all of them.

    Args:
        images: uint8 N×H×W×3, the batch of every call.
        calls: timed calls of each session.
        max_seconds: limit for each session's timed calls; and for its warm-up, a third of it.

    Returns:
        Figures by session. The first call of every turn is made but not counted: caches still belong to the other one.
    """
    warm = {name: warm_up(session, images, max_seconds / 3) for name, session in sessions.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    end = perf_counter() + max_seconds * len(sessions)
    while len(min(times.values(), key=len)) < calls and perf_counter() < end:
        for name, session in sessions.items():
            sleep(PAUSE_SECONDS)
            _call(session, images)
            for _ in range(min(TURN, calls - len(times[name]))):
                times[name].append(_call(session, images))
                if perf_counter() > end:
                    break
    return {name: _figures(times[name], len(images), warm[name]) for name in sessions}
