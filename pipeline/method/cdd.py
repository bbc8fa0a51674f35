"""The student's task: five losses, two phases, compactors, and gradients reset where retrieval needs no channel.

Xie et al., CVPR 2023, sections 3.2 (CDD) and 3.3 (RGGR).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.method.budget import Budget, CostModel
from pipeline.method.compactor import insert_compactors, sparsity_loss
from pipeline.method.losses import feature_distillation, logits_distillation
from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Distillation
from pipeline.method.taps import Taps
from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import open_norm
from pipeline.networks.sites import Site, find_sites, pair_sites
from pipeline.training.loop import Task
from pipeline.training.supervised import Classified, label_losses


class CapacityDynamicDistillation(Task):
    """Trains `student`, into which compactors are put in place; `teacher` stays as it is and is no part of the state.

    Phase *learn*: one backward pass of all five terms. Phase *compress*: backward of the task loss only; then each
    compactor's gradient is masked and the sparsity gradient λ·row/‖row‖ added to every row. With proximal sparsity the
    penalty acts behind each optimiser step instead, in both phases. With a budget it acts while more is left than may
    be, and no longer: then all living rows learn from the task again.

    Raises:
        PipelineError: the student has no sites, the teacher not the same widths, or the budget can't be met.
    """

    def __init__(self, student: Classified, teacher: Classified, settings: Distillation) -> None:
        super().__init__()
        self.settings = settings
        self.student = student
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple: neither trained nor saved
        sites = find_sites(student.embedder, settings.sites)
        paired = pair_sites(sites, find_sites(teacher.embedder, settings.sites))
        opened = {place: open_norm(teacher.embedder, place) for place in {site.place for site in paired.values()}}
        self._taught = Taps((s.writer, opened[paired[s.writer].place], s.linear) for s in sites)
        self.budget = make_budget(student.embedder, sites, settings)
        compacted = insert_compactors(student.embedder, sites)
        self._compactors = {name: module.compactor for name, module in compacted.items()}
        self._before = Taps((s.writer, compacted[s.writer].inner, s.linear) for s in sites)
        self._behind = Taps((s.writer, compacted[s.writer].compactor, s.linear) for s in sites)
        channels = {site.writer: site.channels for site in sites}
        self.resetting = GradientResetting(channels, settings.rggr) if settings.rggr.by == "retrieval" else None
        self._compressing, self._progress = False, 0.0  # whether in the phase *compress*, and how much of it is over

    @property
    def classifier(self) -> nn.Linear:
        return self.student.classifier

    def start_step(self, time: float) -> None:
        learn, epochs = self.settings.learn, self.settings.epochs
        self._compressing = time >= learn
        self._progress = max(0.0, (time - learn) / (epochs - learn))

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        with torch.no_grad():
            taught = self._teacher[0](images)
        scores = self.student(images)
        logits = logits_distillation(scores.classes, taught.classes, settings.temperature)
        features = feature_distillation(self._before.features, self._taught.features)
        losses = {
            **label_losses(scores, labels, settings),
            "logits": settings.logits_weight * logits,
            "features": settings.features_weight * features,
        }
        loss = torch.stack([*losses.values()]).sum()
        sparsity = settings.sparsity_weight * sparsity_loss(self._compactors.values())
        if self._compressing:
            if self.resetting and not (self.budget and self.budget.met):
                self.resetting.update(self._taught.features, self._behind.features)
        elif settings.sparsity == "subgradient":
            loss = loss + sparsity
        return {"loss": loss, **losses, "sparsity": sparsity.detach()}

    def _masks(self) -> Mapping[str, Tensor]:
        """By site: 1 for rows that learn from the task, else 0."""
        if self.budget and (self.budget.met or not self.resetting):
            rows = self.budget.alive
            if self.settings.rggr.by == "norm" and not self.budget.met:
                rows = self.budget.on_course(self._compactors, self._progress)
            return {name: some.float() for name, some in self.budget.by_site(rows).items()}
        if self.resetting:
            return {name: self.resetting.mask(name) for name in self._compactors}
        return {name: torch.ones_like(compactor.weight[:, 0]) for name, compactor in self._compactors.items()}

    @property
    def _penalty(self) -> float:
        """λ at this moment."""
        pressure = self.budget.pressure if self.budget and self._compressing else 1.0
        return self.settings.sparsity_weight * pressure

    def adjust_gradients(self) -> None:
        if self._compressing:
            penalty = self._penalty if self.settings.sparsity == "subgradient" else 0.0
            for name, mask in self._masks().items():
                self._compactors[name].reset_gradient(mask, penalty)

    def after_step(self, lr: float) -> None:
        proximal = self.settings.sparsity == "proximal"
        shrinks = lr * self._penalty
        if self.budget and self._compressing:
            self.budget.step(self._compactors, shrinks, self._progress, proximal)
        elif proximal:
            for compactor in self._compactors.values():
                compactor.shrink_rows(shrinks)

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Shares of rows: `masked` no longer learn from the task, `dead` are shorter than 1e-5; and what is left."""
        alive = torch.cat([compactor.alive() for compactor in self._compactors.values()])
        masks = torch.cat([*self._masks().values()])
        figures = {"masked": 1 - masks.mean().item(), "dead": 1 - alive.mean().item()}
        return figures | ({"left": self.budget.share(alive.bool())} if self.budget else {})


def make_budget(student: Embedder, sites: Sequence[Site], settings: Distillation) -> Budget | None:
    """The budget that the settings ask for.

    Raises:
        BudgetError: it can't be met.
    """
    if settings.compress is None:
        return None
    return Budget(CostModel(student, sites, settings.compress.what), settings.compress, settings.align)
