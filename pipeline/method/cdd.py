"""The student's task: five losses, two phases, compactors, and gradients reset where retrieval needs no channel.

Xie et al., CVPR 2023, sections 3.2 (CDD) and 3.3 (RGGR).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.method.compactor import insert_compactors, sparsity_loss
from pipeline.method.losses import feature_distillation, logits_distillation
from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Distillation
from pipeline.method.taps import Taps
from pipeline.networks.layers import open_norm
from pipeline.networks.sites import find_sites
from pipeline.training.loop import Task
from pipeline.training.supervised import Classified, label_losses


class CapacityDynamicDistillation(Task):
    """Trains `student`, into which compactors are put in place; `teacher` stays as it is and is no part of the state.

    Phase *learn*: one backward pass of all five terms. Phase *compress*: backward of the task loss only; then each
    compactor's gradient is masked and the sparsity gradient λ·row/‖row‖ added to every row. With proximal sparsity the
    penalty acts behind each optimiser step instead, in both phases.
    """

    def __init__(self, student: Classified, teacher: Classified, settings: Distillation) -> None:
        super().__init__()
        self.settings = settings
        self.student = student
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple: neither trained nor saved
        sites = find_sites(student.embedder, settings.sites)
        self._taught = Taps((s.writer, open_norm(teacher.embedder, s.place), s.linear) for s in sites)
        compacted = insert_compactors(student.embedder, sites)
        self._compacted = compacted
        self._before = Taps((s.writer, compacted[s.writer].inner, s.linear) for s in sites)
        self._behind = Taps((s.writer, compacted[s.writer].compactor, s.linear) for s in sites)
        self.resetting = GradientResetting({site.writer: site.channels for site in sites}, settings.rggr)
        self._compressing = False

    @property
    def classifier(self) -> nn.Linear:
        return self.student.classifier

    def start_epoch(self, epoch: int) -> None:
        self._compressing = epoch >= self.settings.learn

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
        sparsity = settings.sparsity_weight * sparsity_loss(self._compacted)
        if self._compressing:
            self.resetting.update(self._taught.features, self._behind.features)
        elif settings.sparsity == "subgradient":
            loss = loss + sparsity
        return {"loss": loss, **losses, "sparsity": sparsity.detach()}

    def adjust_gradients(self) -> None:
        if self._compressing:
            penalty = self.settings.sparsity_weight if self.settings.sparsity == "subgradient" else 0.0
            for name, module in self._compacted.items():
                module.compactor.reset_gradient(self.resetting.mask(name), penalty)

    def after_step(self, lr: float) -> None:
        if self.settings.sparsity == "proximal":
            for module in self._compacted.values():
                module.compactor.shrink_rows(lr * self.settings.sparsity_weight)

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Shares of rows: `masked` no longer learn from the task; `dead` are shorter than 1e-5."""
        alive = torch.cat([module.compactor.alive() for module in self._compacted.values()])
        masks = torch.cat([self.resetting.mask(name) for name in self._compacted])
        return {
            "masked": 1 - masks.mean().item(),
            "dead": 1 - alive.mean().item(),
        }
