"""Calls of one session: warm-up until steady, then timed turns; and the order of sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from statistics import median
from time import perf_counter

import numpy as np

from targets.contract import ProcessSession, Session

WINDOW_SECONDS = 0.2  # window of the warm-up: longer than a governor takes to change a clock
WINDOW_CALLS = 3  # fewest calls of a window
STEADY = 0.05  # windows that differ by less are steady, as are the end and the beginning of a run
TURN = 27  # calls of one session in a turn: 17 turns make 459
ROUNDS = 8  # fewest turns of each session; the interval of a ratio needs 6


@dataclass(frozen=True)
class WarmUp:
    """Calls before the first timed one.

    Attributes:
        steady: whether it ended because times were steady, not because time was up.
        p50_ms: median of its last window.
    """

    calls: int
    steady: bool
    p50_ms: float


@dataclass
class Times:
    """Calls of one session: times in ms by turn, and the computing times that the session reports, ms."""

    warmup: WarmUp
    turns: list[list[float]] = field(default_factory=list)
    compute: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def calls(self) -> list[float]:
        """Times of all calls, ms."""
        return [time for turn in self.turns for time in turn]

    @property
    def medians(self) -> list[float]:
        """Median of each turn, ms."""
        return [median(turn) for turn in self.turns]

    @property
    def steady(self) -> bool:
        """See `Latency.steady`."""
        third = len(self.turns) // 3
        first, last = (median(self.medians[:third]), median(self.medians[-third:])) if third else (1.0, 1.0)
        return self.warmup.steady and max(first, last) <= (1 + STEADY) * min(first, last)


def _call(session: Session, images: np.ndarray) -> float:
    """Time of one call, ms."""
    begun = perf_counter()
    session.embed(images)
    elapsed = 1000 * (perf_counter() - begun)  # before the next line, which takes microseconds
    return session.call_ms if isinstance(session, ProcessSession) else elapsed


def warm_up(session: Session, images: np.ndarray, seconds: float) -> WarmUp:
    """Call until the medians of three consecutive windows agree, or time is up."""
    medians: list[float] = []
    calls, steady = 0, False
    begun = perf_counter()
    while not steady and (not medians or perf_counter() - begun < seconds):
        window: list[float] = []
        full = perf_counter() + min(WINDOW_SECONDS, seconds / 10)
        while len(window) < WINDOW_CALLS or perf_counter() < full:
            window.append(_call(session, images))
        calls += len(window)
        medians.append(median(window))
        last = medians[-3:]
        steady = len(last) == 3 and max(last) <= (1 + STEADY) * min(last)
    return WarmUp(calls, steady, medians[-1])


def orders(names: Sequence[str]) -> Iterator[list[str]]:
    """Order of sessions, round by round: in as many rounds as sessions, each follows every other equally often.

    Williams, Experimental designs balanced for the estimation of residual effects of treatments (1949); for odd
    numbers over twice as many rounds.
    """
    zigzag = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(len(names))]
    for round_ in count():
        order = [names[(place + round_) % len(names)] for place in zigzag]
        yield order[::-1] if round_ // len(names) % 2 else order


def take_turn(session: Session, images: np.ndarray, times: Times, calls: int, max_seconds: float) -> None:
    """Time one turn, short enough that there will be at least `ROUNDS` turns.

    Args:
        times: of the session so far; the turn is appended.
        calls, max_seconds: limits of all turns together.
    """
    affordable = int(1000 * max_seconds / ROUNDS / times.warmup.p50_ms) - 1
    wanted = min(TURN, ceil(calls / ROUNDS), max(1, affordable), calls - len(times.calls))
    begun = perf_counter()
    _call(session, images)
    turn: list[float] = []
    while not turn or (len(turn) < wanted and times.seconds + perf_counter() - begun < max_seconds):
        turn.append(_call(session, images))
        if session.compute_ms is not None:
            times.compute.append(session.compute_ms)
    times.turns.append(turn)
    times.seconds += perf_counter() - begun
