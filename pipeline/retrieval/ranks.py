"""Ranks of correct answers, by counting nearer images instead of sorting the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor


class Answers:
    """Correct gallery images of a query, and ignored ones: those of its own identity and camera, and those of its own
    identity that are copies of it.
    """

    def __init__(self, query: Samples, gallery: Samples) -> None:
        self._cameras, self._own = gallery.cameras, query.cameras
        self._contents, self._content = gallery.contents, query.contents
        self._order = np.argsort(gallery.identities, kind="stable")
        ordered = gallery.identities[self._order]
        self._starts = np.searchsorted(ordered, query.identities, "left")
        self._ends = np.searchsorted(ordered, query.identities, "right")

    def __call__(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Ascending indices in the gallery: correct, and ignored."""
        same = self._order[self._starts[query] : self._ends[query]]
        junk = self._cameras[same] == self._own[query]
        if self._contents is not None and self._content is not None:
            junk |= self._contents[same] == self._content[query]
        return same[~junk], same[junk]


def right_ranks(scores: Tensor, right: np.ndarray, junk: np.ndarray) -> np.ndarray:
    """Ranks (from 1, ascending) of one query's correct answers among all images that count.

    Equal scores keep the gallery's order. An answer's rank is one more than the number of better scores; these are
    counted by their position among the few correct ones, which is cheaper than sorting all. A query with ties at an
    answer is sorted.

    Args:
        scores: G, larger is nearer. Modified: ignored ones become -∞.
        right: indices of correct answers, ascending.
        junk: indices that are ignored.
    """
    import torch

    if not len(right):
        return right
    scores[torch.from_numpy(junk).to(scores.device)] = -torch.inf
    answers = scores[torch.from_numpy(right).to(scores.device)].sort().values
    rivals = scores[scores >= answers[0]]
    beaten = torch.searchsorted(answers, rivals)  # number of answers that are strictly worse
    equal = answers[beaten.clamp(max=len(right) - 1)] == rivals
    if int(equal.sum()) > len(right) or bool((answers.diff() == 0).any()):
        order = scores.argsort(descending=True, stable=True).cpu().numpy()
        return np.flatnonzero(np.isin(order, right)) + 1
    better = torch.bincount(beaten, minlength=len(right) + 1).flip(0).cumsum(0)  # by answer, best first
    ranks: np.ndarray = better[: len(right)].cpu().numpy() + 1
    return ranks
