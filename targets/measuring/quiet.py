"""Waits for an idle machine, and repeats a run that was disturbed.

Times on a busy machine are not only longer: with fewer cores than threads, the ratio of two networks' times changes,
with a narrow interval around the wrong value. Statistics can't correct that; only an idle machine can.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import TypeVar

from targets.errors import BadOption
from targets.machine import sensors
from targets.machine.device import own_cores
from targets.measuring.conditions import ROOT, Conditions, most_busy

VARIABLE = "ZOO_QUIET_SECONDS"
WAIT_SECONDS = 120.0
LOOK_SECONDS = 1.0  # ticks of /proc/stat are 10 ms
ATTEMPTS = 3
Result = TypeVar("Result")


def quiet_seconds() -> float:
    """How long a run may wait for an idle machine, s: `ZOO_QUIET_SECONDS`.

    Raises:
        BadOption: it is not a number of seconds.
    """
    said = os.environ.get(VARIABLE, "").strip()
    try:
        seconds = float(said or WAIT_SECONDS)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds < 0:
        raise BadOption(f"{VARIABLE} must be a number of seconds, 0 or more, not {said[:40]!r}.")
    return seconds


@dataclass(frozen=True)
class Assessment:
    """Whether the times of a run can be trusted.

    Attributes:
        why: why not, in words; none if they can.
        faults: of several runs the one with the smallest is kept.
    """

    why: str | None
    faults: tuple[int, ...] = ()


def assess(conditions: Conditions, unsteady: int = 0) -> Assessment:
    """Whether the times of a run can be trusted.

    Args:
        unsteady: how many of its sessions never became steady.
    """
    why = conditions.throttled and f"throttled by {conditions.throttled}"
    why = why or conditions.disturbed or (f"{unsteady} of its times never became steady" if unsteady else None)
    return Assessment(why, (bool(conditions.throttled), bool(conditions.disturbed), unsteady))


def others_busy(
    root: Path = ROOT, seconds: float = LOOK_SECONDS, pause: Callable[[float], None] = sleep
) -> float | None:
    """How many of this process's cores others keep busy or withhold, over some seconds from now; None if unknown."""
    cores = own_cores()
    before, own, begun = sensors.busy_seconds(root, cores), process_time(), perf_counter()
    pause(seconds)
    after, took = sensors.busy_seconds(root, cores), perf_counter() - begun
    if before is None or after is None or took <= 0:
        return None
    return max(0.0, sum(after) - sum(before) - (process_time() - own)) / took


@dataclass
class Patience:
    """How long to wait for an idle machine.

    Attributes:
        seconds: in total, over all attempts; 0: measure at once, and once only.
        busy: observes for a while and returns how many cores others keep busy.
    """

    seconds: float = field(default_factory=quiet_seconds)
    busy: Callable[[], float | None] = others_busy
    now: Callable[[], float] = perf_counter

    def wait(self, tell: Callable[[str], None]) -> bool:
        """Wait until the machine is idle or the time is up; return whether it is idle, as far as is known."""
        told, cores = False, len(own_cores())
        while self.seconds > 0:
            begun, load = self.now(), self.busy()
            if load is None or load <= most_busy(cores):
                return True
            if not told:
                tell(
                    f"waiting for an idle machine, at most {self.seconds:.0f} s ({VARIABLE}): other processes keep "
                    f"{load:.1f} of {cores} cores busy"
                )
                told = True
            self.seconds -= self.now() - begun
        if told:
            tell("the machine did not become idle; measuring anyway")
        return False


def when_quiet(
    run: Callable[[], Result],
    assessed: Callable[[Result], Assessment],
    tell: Callable[[str], None],
    patience: Patience | None = None,
) -> Result:
    """Run on an idle machine, and again if the run was disturbed; return the best run.

    Args:
        run: takes the measurement.
        assessed: assesses a run by its conditions, never by its speed.
        tell: is called with messages on waiting and on repetitions.
    """
    patience = patience or Patience()
    best, kept = None, None
    for attempt in range(ATTEMPTS):
        quiet = patience.wait(tell)
        result = run()
        found = assessed(result)
        if kept is None or found.faults < kept.faults:
            best, kept = result, found
        if found.why is None or not quiet:
            break
        if attempt < ATTEMPTS - 1:
            tell(f"measuring again: {found.why}")
    assert best is not None
    return best
