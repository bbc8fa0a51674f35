"""Ranks of right answers, by counting what is nearer instead of sorting the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PAIR_BYTES = 24  # what `right_ranks` needs for each score, its arguments included


def right_ranks(scores: Tensor, right: Tensor, junk: Tensor) -> list[np.ndarray]:
    """For each row the ranks (from 1, ascending) of its right answers among all that count.

    Equal scores keep the gallery's order. An answer's rank is one more than the number of better scores; these are
    counted by their place among the row's few right ones, which costs less than sorting all. A row in which an answer
    ties with anything is sorted.

    Args:
        scores: B×G, larger is nearer. Changed: what does not count becomes -∞.
        right: B×G, true for right answers.
        junk: B×G, true for what does not count; nothing is both.
    """
    import torch

    scores.masked_fill_(junk, -torch.inf)
    counts = right.sum(1)
    most = int(counts.max())
    row, column = right.nonzero(as_tuple=True)
    place = torch.arange(len(row), device=scores.device) - (counts.cumsum(0) - counts)[row]
    answers = scores.new_full((len(scores), most + 1), torch.inf)  # ascending, then only infinities
    answers[row, place] = scores[row, column]
    answers = answers.sort(1).values
    beaten = torch.searchsorted(answers, scores)  # number of answers that are strictly worse than the score
    equal = answers.gather(1, beaten).eq_(scores).sum(1)
    twins = (answers.diff(dim=1) == 0).any(1)  # ∞ - ∞ is no number, so that the padding does not count
    tied = ((equal > counts) | twins).tolist()
    histogram = torch.zeros_like(answers, dtype=torch.int64)
    histogram.scatter_add_(1, beaten, torch.ones((), dtype=torch.int64, device=scores.device).expand_as(beaten))
    better = histogram.flip(1).cumsum(1).flip(1)[:, 1:].cpu()  # scores that beat the answer at each place
    ranks = []
    for index, (count, tie) in enumerate(zip(counts.tolist(), tied, strict=True)):
        if tie:
            order = scores[index].argsort(descending=True, stable=True)
            ranks.append(np.flatnonzero(right[index][order].cpu().numpy()) + 1)
        else:
            ranks.append(better[index, :count].flip(0).numpy() + 1)
    return ranks
