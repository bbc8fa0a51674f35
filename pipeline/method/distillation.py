"""Losses on labels and on the teacher's outputs and features, independent of the compression method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.method.bank import EmbeddingBank
from pipeline.method.losses import (
    embedding_regression,
    feature_distillation,
    logits_distillation,
    relational_distillation,
    relative_feature_distillation,
)
from pipeline.method.settings import Distillation
from pipeline.method.taps import Taps
from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import norm_output
from pipeline.networks.site import Writer
from pipeline.training.distributed import alone, averaged, gathered, normalise_together
from pipeline.training.supervised import Classified, Scores, label_losses
from pipeline.training.task import Task

BALANCE_POWER = 8
Places = Mapping[str, tuple[nn.Module, bool]]  # by writer: module with the output, channels last


def norm_places(network: Embedder, writers: Mapping[str, Writer]) -> Places:
    """Where features of the named writers are taken: after the norm and before the activation."""
    return {name: (norm_output(network.get_submodule(some.place)), some.linear) for name, some in writers.items()}


@torch.no_grad()
def teacher_trust(student: Scores, teacher: Scores, labels: Tensor, settings: Distillation) -> Tensor:
    """Weight of all terms from the teacher on this batch, 0 … 1.

    With `balance: relative`, min(1, L_s / L_t)⁸ of the identity losses of student and teacher: the weight vanishes for
    a student that is better on the labels than its teacher, and is 1 for one that is worse.
    """
    if settings.balance == "fixed":
        return torch.ones((), device=labels.device)
    losses = torch.stack(
        [
            functional.cross_entropy(scores.classes, labels, label_smoothing=settings.label_smoothing)
            for scores in (student, teacher)
        ]
    )
    own, known = averaged(losses)
    # Without label smoothing, both may be exactly zero.
    trust: Tensor = (own / known.clamp_min(torch.finfo(known.dtype).tiny)).clamp(max=1.0) ** BALANCE_POWER
    return trust


def output_losses(
    student: Scores,
    teacher: Scores,
    labels: Tensor,
    settings: Distillation,
    trust: Tensor,
    bank: Tensor | None = None,
) -> dict[str, Tensor]:
    """Weighted losses on a student's outputs: identity, triplet, logits; relations and embedding if they have a weight.

    Args:
        trust: see `teacher_trust`.
        bank: see `relational_distillation`.
    """
    losses = label_losses(student, labels, settings)
    logits = logits_distillation(student.classes, teacher.classes, settings.temperature)
    losses["logits"] = trust * settings.logits_weight * logits
    if settings.relations_weight:
        relations = relational_distillation(gathered(student.embedding), gathered(teacher.embedding), bank=bank)
        losses["relations"] = trust * settings.relations_weight * relations
    if settings.embedding_weight:
        regression = embedding_regression(student.embedding, teacher.embedding)
        losses["embedding"] = trust * settings.embedding_weight * regression
    return losses


def frozen_teacher(teacher: Classified, norms: Literal["running", "batch"]) -> Classified:
    """The teacher for distillation: in evaluation mode, without gradients, and never changed.

    With `batch`, batch norms use the statistics of each batch (of all processes), and keep their running ones.
    """
    teacher.eval().requires_grad_(False)
    if norms == "batch":
        for module in teacher.modules():
            if isinstance(module, _BatchNorm):
                module.train().momentum = 0.0
        if not alone():
            normalise_together(teacher)
    return teacher


class TaughtStudent(Task):
    """Losses on outputs (see `output_losses`) and on features, under the sum `loss` (CVPR 2023, section 3.2).

    `teacher` is unchanged and not part of the state.

    Args:
        taught: where the teacher's features are taken, by the student's writer. If empty, no features are compared.
        places: where the student's features are taken, by the same writers.
        kept: by writer, the teacher's channels that match the student's, if it has fewer.
    """

    def __init__(
        self,
        student: Classified,
        teacher: Classified,
        settings: Distillation,
        taught: Places,
        places: Places,
        kept: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.student = student
        self._teacher = (frozen_teacher(teacher, settings.teacher_norms),)  # a tuple: neither trained nor saved
        self._taught = Taps(taught)
        self._learnt = Taps(places)
        device = teacher.classifier.weight.device
        self._kept = {name: rows.to(device) for name, rows in (kept or {}).items()}
        size = settings.relations_bank if settings.relations_weight else 0
        self.bank = EmbeddingBank(size, teacher.classifier.in_features) if size else None

    @property
    def network(self) -> Classified:
        return self.student

    def _feature_loss(self) -> Tensor:
        goals = {
            name: features[:, self._kept[name]] if name in self._kept else features
            for name, features in self._taught.features.items()
        }
        compare = relative_feature_distillation if self.settings.features == "relative" else feature_distillation
        return self.settings.features_weight * compare(self._learnt.features, goals)

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            taught = self._teacher[0](images)
        scores = self.student(images)
        trust = teacher_trust(scores, taught, labels, self.settings)
        bank = self.bank.filled if self.bank and self.bank.written else None
        losses = output_losses(scores, taught, labels, self.settings, trust, bank)
        if self.bank:
            self.bank.add(gathered(taught.embedding))
        if self._taught.features and self.settings.features_weight:
            losses["features"] = trust * self._feature_loss()
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
