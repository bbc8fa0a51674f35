"""The ratio of two sessions' speeds, with a confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, ClassVar

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """Speed of one artifact relative to a baseline, at one batch size, both timed in turn in one run."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    baseline: str
    """network and precision of the baseline, such as `teacher/fp32`"""
    batch: int
    """images per call; the ratio depends on the batch size"""
    ratio: float
    """time of the baseline ÷ time of this one: above 1 is faster than the baseline"""
    low: float | None
    """lower end of the 95 % interval; below 1 it may be slower; null below 6 turns"""
    high: float | None
    """upper end of the 95 % interval; null below 6 turns"""
    turns: int
    """pairs of turns in the estimate; why the interval is as wide as it is"""


def trimmed_averages(pairs: int) -> int | None:
    """Number of Walsh averages outside the 95 % interval on either side; None if there are too few pairs for one.

    The largest k with P(W < k) ≤ 2.5 %, where W is the signed-rank statistic of `pairs` differences around zero.
    """
    counts = [1]  # of the subsets of the ranks 1 … n, by their sum
    for rank in range(1, pairs + 1):
        counts = [
            (counts[total] if total < len(counts) else 0) + (counts[total - rank] if total >= rank else 0)
            for total in range(len(counts) + rank)
        ]
    below, k = 0, 0
    while 2 * (below + counts[k]) <= (1 - CONFIDENCE) * 2**pairs:
        below, k = below + counts[k], k + 1
    return k - 1 if k else None


def estimate(baseline: Sequence[float], times: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Ratio of two sessions' times and its 95 % interval, from the medians of paired turns.

    Hodges and Lehmann's estimate with Tukey's interval, on the logarithms of the ratio in each pair: the median of all
    averages of two pairs, and those averages that the signed-rank test accepts (Hollander & Wolfe, Nonparametric
    Statistical Methods, 3.2 and 3.3). A temporary slowdown affects both halves of a pair and cancels. The interval is
    exact for any number of pairs if the logarithms are symmetric around the true value, as differences of two equally
    distributed noises are; one disturbed turn does not widen it. Bootstrap intervals are not exact: over 6 to 17 pairs,
    those of the mean cover the true value in 83 to 94 % of runs, those of p50 ÷ p50 in 93 to 99 % at up to twice the
    width.

    Args:
        baseline, times: ms, one per turn, in order; excess turns of the longer one are ignored.
    """
    pairs = min(len(baseline), len(times))
    logs = np.log(np.asarray(baseline[:pairs], float)) - np.log(np.asarray(times[:pairs], float))
    first, second = np.triu_indices(pairs)
    averages = np.sort((logs[first] + logs[second]) / 2)
    middle = exp(float(np.median(averages)))
    cut = trimmed_averages(pairs)
    if cut is None:
        return middle, None, None
    return middle, exp(float(averages[cut])), exp(float(averages[-1 - cut]))
