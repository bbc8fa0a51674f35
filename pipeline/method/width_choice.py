"""Chooses widths of a network to measure, and those that meet a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.method.merge import kept_count
from pipeline.method.widths import Kept, full_widths, least_widths
from pipeline.networks.sites import Site

SPREAD = 0.3  # largest deviation of a site's share from the network's
DROPPED = 0.1  # share of residual branches that are removed altogether
STEPS = 12  # bisections of a network's share

Pattern = Callable[[float], dict[str, int]]  # widths of a network from the share that it keeps; they grow with it


def pattern(sites: Sequence[Site], align: int, random: np.random.Generator, drop: bool = True) -> Pattern:
    """Random shares of sites around the network's: each independently, or inner sites against residual streams."""
    count = len(sites)
    match random.integers(3):
        case 0:
            offsets = random.uniform(-SPREAD, SPREAD, count)
        case 1:
            against = random.uniform(-SPREAD, SPREAD)
            offsets = np.array([against if site.coupled else -against for site in sites])
        case _:
            offsets = random.uniform(-SPREAD / 3, SPREAD / 3, count)
    dropped = random.random(count) < DROPPED

    def widths(level: float) -> dict[str, int]:
        kept = {}
        for site, offset, gone in zip(sites, offsets, dropped, strict=True):
            each = site.channels // site.chunks
            alive = round(float(np.clip(level + offset * min(level, 1 - level) * 2, 0, 1)) * each)
            least = 0 if drop and gone and site.branch and level < 0.5 else 1
            kept[site.writer] = kept_count(0 if not least else alive, site.channels, site.chunks, align, least)
        return kept

    return widths


def even_pattern(sites: Sequence[Site], align: int) -> Pattern:
    """The same share at each site."""

    def widths(level: float) -> dict[str, int]:
        return {
            site.writer: kept_count(round(level * site.channels / site.chunks), site.channels, site.chunks, align, 1)
            for site in sites
        }

    return widths


def spread_widths(sites: Sequence[Site], align: int, count: int, seed: int = 0) -> list[Kept]:
    """The dense network, the smallest one, and `count` others in between."""
    random = np.random.default_rng(seed)
    levels = (np.arange(count) + random.random(count)) / count
    drawn = [pattern(sites, align, random)(float(level)) for level in levels]
    return [full_widths(sites), least_widths(sites, align), *drawn]


def within(cost: Callable[[Kept], float], limit: float, widths: Pattern) -> dict[str, int] | None:
    """The widest network of a pattern that costs at most `limit`; None if all cost more."""
    low, high = 0.0, 1.0
    if cost(widths(low)) > limit:
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(widths(middle)) <= limit else (low, middle)
    return widths(low)


def near_widths(
    sites: Sequence[Site], align: int, cost: Callable[[Kept], float], limit: float, count: int, seed: int
) -> list[Kept]:
    """Random networks that are predicted to cost `limit`; possibly fewer than `count`."""
    random = np.random.default_rng(seed)
    found: list[Kept] = []
    for number in range(4 * count):
        chosen = even_pattern(sites, align) if not number else pattern(sites, align, random, drop=False)
        if (kept := within(cost, limit, chosen)) and kept not in found:
            found.append(kept)
        if len(found) == count:
            break
    return found
