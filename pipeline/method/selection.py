"""Selects the channels that a dense student keeps: importance, allocation, and compensation for removed ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.method.allocation import (
    Kept,
    best_allocation,
    channels_above,
    clearly_lowest,
    comparable,
    search_allocation,
)
from pipeline.method.cost_model import WidthCost
from pipeline.method.distillation import output_losses
from pipeline.method.importance import (
    RetrievalScores,
    Scores,
    gated_copy,
    gradient_scores,
    norm_scores,
    position_scores,
    sensitivity_scores,
)
from pipeline.method.losses import relational_distillation
from pipeline.method.reconstruction import input_moments, reconstruction_maps
from pipeline.method.removal import remove_channels
from pipeline.method.settings import TRIED, Allocation, Distillation, Importance
from pipeline.networks.site import Site
from pipeline.training.distributed import averaged
from pipeline.training.supervised import Classified

IMPORTANCES: tuple[Importance, ...] = ("sensitivity", "taylor")  # candidates of `importance: best`
PROXY_BATCHES = 3
Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]  # a number of batches of images and labels, on the device


class Selection(NamedTuple):
    """Channels to keep by the site's writer, and maps by reader.

    Attributes:
        importance: what channels were ranked by.
        compared: losses of the candidates for it, if `distill.importance` is `best`.
        search: losses of allocations that were tried: of each candidate (`best`), or the lowest after each try
            (`searched`).
        chosen: the candidate that `best` chose.
    """

    kept: Kept
    maps: dict[str, Tensor]
    importance: Importance
    compared: dict[Importance, float]
    search: list[float]
    chosen: Allocation | None = None


class _Chooser:
    """Averages over processes everything computed from batches, so that all choose alike."""

    def __init__(
        self, student: Classified, teacher: Classified, sites: list[Site], settings: Distillation, batches: Batches
    ) -> None:
        self.student, self.teacher, self.sites, self.settings, self.batches = student, teacher, sites, settings, batches

    def scores(self, importance: Importance) -> Scores:
        """Importance of the channels of each site."""
        embedder = self.student.embedder
        match importance:
            case "norm" | "l1":
                return norm_scores(embedder, self.sites, l1=importance == "l1")
            case "position":
                return position_scores(self.sites)
            case "retrieval":
                scores = self._retrieval_scores()
            case "sensitivity":
                copied = copy.deepcopy(self.student)
                scores = sensitivity_scores(copied.embedder, self.sites, self._losses(copied))
            case _:
                scores = self._gradient_scores()
        return {name: averaged(values.to(self.device)).cpu() for name, values in scores.items()}

    @property
    def device(self) -> torch.device:
        return self.student.classifier.weight.device

    def _retrieval_scores(self) -> Scores:
        embedder = self.student.embedder
        found = RetrievalScores(embedder, self.sites, self.settings.rggr)
        training = embedder.training
        embedder.eval()  # in training mode, norms would follow these images
        with torch.no_grad():
            for images, _ in self.batches(self.settings.score_steps):
                embedder(images)
                found.add()
        embedder.train(training)
        found.stop()
        return found.scores()

    def _gradient_scores(self) -> Scores:
        copied, gates = gated_copy(self.student, self.student.embedder, self.sites)
        return gradient_scores(gates, self._losses(copied))

    def _losses(self, student: nn.Module) -> Iterator[Tensor]:
        """The losses of a copy of the student, one per batch."""
        student.train()
        full = torch.ones((), device=self.device)
        for images, labels in self.batches(self.settings.score_steps):
            with torch.no_grad():
                taught = self.teacher(images)
            terms = output_losses(student(images), taught, labels, self.settings, full)
            yield torch.stack([*terms.values()]).sum()

    def moments(self) -> dict[str, Tensor]:
        """Moments of the readers' inputs for reconstruction; empty if it is off."""
        if not self.settings.reconstruct:
            return {}
        images = (images for images, _ in self.batches(self.settings.score_steps))
        found = input_moments(self.student.embedder, self.sites, images)
        return {name: averaged(moment) for name, moment in found.items()}

    def proxy(self, moments: dict[str, Tensor]) -> Callable[[Kept], float]:
        """The loss of an allocation: distance of the small student's neighbourhoods from the teacher's."""

        @cache
        def known() -> list[tuple[Tensor, Tensor]]:
            with torch.no_grad():
                return [(images, self.teacher.embedder(images)) for images, _ in self.batches(PROXY_BATCHES)]

        @torch.no_grad()
        def loss(kept: Kept) -> float:
            small = copy.deepcopy(self.student.embedder)
            remove_channels(small, self.sites, kept, self.maps(kept, moments))
            small.train()  # norms use the batch's statistics, since their own are of the dense network
            losses = [relational_distillation(small(images), taught) for images, taught in known()]
            return float(averaged(torch.stack(losses).mean()))

        return loss

    def maps(self, kept: Kept, moments: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps that compensate for removed channels, by reader."""
        return reconstruction_maps(self.student.embedder, self.sites, kept, moments) if moments else {}


def select_channels(
    student: Classified,
    teacher: Classified,
    sites: list[Site],
    model: WidthCost,
    settings: Distillation,
    share: float,
    batches: Batches,
    seed: int,
) -> Selection:
    """Choose the channels that a student keeps; the student is unchanged.

    Args:
        teacher: in evaluation mode.
        sites: of the student.
        model: cost model of the dense student.
        share: share of its cost that may remain.
        seed: seed of a search.

    Raises:
        BudgetError: the budget can't be met.
        PipelineError: importance can't be computed.
    """
    assert settings.compress is not None
    cut = partial(channels_above, model, compress=settings.compress, align=settings.align, share=share)
    chooser = _Chooser(student, teacher, sites, settings, batches)
    moments = chooser.moments()
    loss = chooser.proxy(moments)

    def allocated(scores: Scores, allocation: Allocation) -> Kept:
        return cut(scores if allocation == "raw" else comparable(scores, sites, allocation))

    importance, compared = settings.importance, dict[Importance, float]()
    if importance == "best":
        first: Allocation = "global" if settings.allocation in TRIED else settings.allocation
        scored = {name: chooser.scores(name) for name in IMPORTANCES}
        compared = {name: loss(allocated(scored[name], first)) for name in IMPORTANCES}
        importance = IMPORTANCES[clearly_lowest([*compared.values()])]
        scores = scored[importance]
    else:
        scores = chooser.scores(importance)
    search, chosen = list[float](), None
    if settings.allocation == "best":
        kept, chosen, search = best_allocation(cut, sites, scores, loss)
    elif settings.allocation == "searched":
        kept, search = search_allocation(cut, sites, scores, loss, settings.search_tries, seed)
    else:
        kept = allocated(scores, settings.allocation)
    return Selection(kept, chooser.maps(kept, moments), importance, compared, search, chosen)


def apply_selection(network: nn.Module, sites: list[Site], selection: Selection) -> None:
    """Shrink a dense student, in place."""
    remove_channels(network, sites, selection.kept, selection.maps)
