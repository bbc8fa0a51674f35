"""Allocates a budget to sites: from scores within sites to the channels to keep.

Which channels of a site are removed is one question (`pipeline.method.importance`), how many is another. Ranking raw
scores across sites removes most channels of sites whose scores happen to be small; every allocation here first
compares a channel with its own site.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isnan

import torch
from torch import Tensor

from pipeline.errors import BudgetError
from pipeline.method.compress import Compress
from pipeline.method.cost_model import WidthCost
from pipeline.method.importance import Scores
from pipeline.method.merge import kept_rows
from pipeline.method.settings import Allocation
from pipeline.networks.site import Site

CANDIDATES: tuple[Allocation, ...] = ("global", "isomorphic", "uniform")
MARGIN = 0.1  # by which a candidate's loss must be lower: smaller differences say nothing about the trained network
Kept = dict[str, Tensor]  # by the site's writer, indices of channels to keep, ascending


def _ranks(values: Tensor) -> Tensor:
    """Rank of each value among all, from the smallest, in 0 … 1."""
    return values.argsort().argsort() / len(values)


def _relative(values: Tensor) -> Tensor:
    """Values as multiples of their mean."""
    return values / values.mean().clamp_min(torch.finfo(values.dtype).tiny)


def _topology(site: Site) -> tuple[object, ...]:
    """What sites of one kind share: stream or inner, convolution or linear layer, grouped or not, and whether there are
    channelwise layers and factors between writers and readers."""
    return site.coupled, site.linear, site.groups > 1, len(site.channelwise) > 0, len(site.factors) > 0


def comparable(scores: Scores, sites: Sequence[Site], allocation: Allocation) -> Scores:
    """Scores that one threshold can be applied to.

    `uniform`: the rank within the site, so that each loses the same share. `global`: multiples of the site's mean.
    `isomorphic`: the rank of those multiples among all sites of one topology, so that each topology loses the
    same share (Fang et al., "Isomorphic Pruning for Vision Models", ECCV 2024). `searched` starts from `global`.
    """
    if allocation == "uniform":
        return {name: _ranks(values) for name, values in scores.items()}
    relative = {name: _relative(values) for name, values in scores.items()}
    if allocation != "isomorphic":
        return relative
    found: dict[str, Tensor] = {}
    for kind in {_topology(site) for site in sites}:
        names = [site.writer for site in sites if _topology(site) == kind]
        ranks = _ranks(torch.cat([relative[name] for name in names]))
        found |= dict(zip(names, torch.split(ranks, [len(relative[name]) for name in names]), strict=True))
    return found


def channels_above(
    model: WidthCost, scores: Scores, compress: Compress, align: int = 1, share: float | None = None
) -> Kept:
    """Channels to keep at each site: those above the lowest common threshold that meets the budget.

    Args:
        scores: comparable across sites.
        share: share of the dense network's cost that may remain, if not that of `compress`.

    Raises:
        BudgetError: even one channel at each site costs more.
    """

    def kept(bar: float) -> Kept:
        return {name: kept_rows(scores[name], bar, site.chunks, align, least=1) for name, site in model.sites.items()}

    def cost(bar: float) -> float:
        return model({name: len(rows) for name, rows in kept(bar).items()}) / model.dense

    bars = [*sorted(set(torch.cat([*scores.values()]).tolist())), float("inf")]
    low, high = 0, len(bars) - 1
    share = compress.share(model.dense) if share is None else share
    if cost(bars[high]) > share:
        coupling = not any(site.coupled for site in model.sites.values())
        raise BudgetError(compress.refused(cost(bars[high]), model.dense, "the fewest possible channels", coupling))
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(bars[middle]) <= share else (middle + 1, high)
    return kept(bars[low])


def _order(loss: float) -> float:
    """A loss to compare with others: NaN is higher than all."""
    return inf if isnan(loss) else loss


def clearly_lowest(losses: Sequence[float]) -> int:
    """Place of the lowest loss, if it is lower than the first one by more than `MARGIN`; otherwise 0.

    A loss that is NaN is higher than all others.
    """
    lowest = min(range(len(losses)), key=lambda place: _order(losses[place]))
    return lowest if isnan(losses[0]) or losses[lowest] < (1 - MARGIN) * losses[0] else 0


def best_allocation(
    cut: Callable[[Scores], Kept], sites: Sequence[Site], scores: Scores, loss: Callable[[Kept], float]
) -> tuple[Kept, Allocation, list[float]]:
    """The best of `CANDIDATES`: the first one, unless the loss of another is clearly lower (`clearly_lowest`).

    Args:
        cut: see `search_allocation`.
        loss: see `search_allocation`.

    Returns:
        The channels to keep, the allocation that was chosen, and the loss of each candidate in their order.

    Raises:
        BudgetError: see `channels_above`.
    """
    tried = [cut(comparable(scores, sites, allocation)) for allocation in CANDIDATES]
    losses = [loss(kept) for kept in tried]
    chosen = clearly_lowest(losses)
    return tried[chosen], CANDIDATES[chosen], losses


def search_allocation(
    cut: Callable[[Scores], Kept],
    sites: Sequence[Site],
    scores: Scores,
    loss: Callable[[Kept], float],
    tries: int,
    seed: int,
) -> tuple[Kept, list[float]]:
    """Try allocations around the global one, and keep the best. A loss that is NaN is higher than all others.

    Sites of one resolution share a factor on their scores, streams apart from inner channels; a random change of all
    factors that lowers the loss is kept (a (1+1) evolution strategy).

    Args:
        cut: channels to keep, from comparable scores: `channels_above` under the budget.
        loss: loss of the network with these channels, by some proxy of its final quality.
        tries: number of allocations to try after the first.

    Returns:
        The channels to keep, and the best loss after each try, the first being that of the global allocation.

    Raises:
        BudgetError: see `channels_above`.
    """
    classes = sorted({(site.resolution, site.coupled) for site in sites}, reverse=True)
    relative = {name: _relative(values) for name, values in scores.items()}
    random = torch.Generator().manual_seed(seed)

    def tried(logs: Tensor) -> tuple[float, Kept]:
        factors: Mapping[tuple[int, bool], float] = dict(zip(classes, logs.exp().tolist(), strict=True))
        kept = cut({s.writer: relative[s.writer] * factors[s.resolution, s.coupled] for s in sites})
        return loss(kept), kept

    logs = torch.zeros(len(classes))
    best, kept = tried(logs)
    history = [best]
    for _ in range(tries):
        changed = logs + 0.5 * torch.randn(len(classes), generator=random)
        found, rows = tried(changed)
        if _order(found) < _order(best):
            best, kept, logs = found, rows, changed
        history.append(best)
    return kept, history
