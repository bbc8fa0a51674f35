"""What a student learns from labels and from its teacher, whatever becomes of its channels."""

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
from pipeline.networks.sites import Writer
from pipeline.training.supervised import Classified, Scores, label_losses
from pipeline.training.task import Task
from pipeline.training.together import alone, averaged, gathered, normalise_together

BALANCE_POWER = 8
Places = Mapping[str, tuple[nn.Module, bool]]  # by writer, the module whose output counts; whether channels come last


def norm_places(network: Embedder, writers: Mapping[str, Writer]) -> Places:
    """Where features of named writers are taken: behind the norm and before the activation."""
    return {name: (norm_output(network.get_submodule(some.place)), some.linear) for name, some in writers.items()}


@torch.no_grad()
def teacher_trust(student: Scores, teacher: Scores, labels: Tensor, settings: Distillation) -> Tensor:
    """Weight of all that the teacher teaches on this batch, 0 … 1.

    With `balance: relative`, min(1, L_s / L_t)⁸ of the identity losses of student and teacher: a student that knows the
    labels better than its teacher goes on without it, one that does not yet leans on it fully.
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
    trust: Tensor = (own / known).clamp(max=1.0) ** BALANCE_POWER
    return trust


def output_losses(
    student: Scores,
    teacher: Scores,
    labels: Tensor,
    settings: Distillation,
    trust: Tensor,
    bank: Tensor | None = None,
) -> dict[str, Tensor]:
    """Weighted losses on what a student gives: identity, triplet, logits; relations, embedding if they have a weight.

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
    """The teacher as it teaches: in evaluation mode, without gradients, and never changed.

    With `batch`, batch norms take the statistics of each batch (of all processes), and keep their running ones.
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

    `teacher` stays as it is and is no part of the state.

    Args:
        taught: where the teacher's features are taken, by the student's writer.
        places: where the student's are.
        kept: by writer, the teacher's channels that the student's stand for, if it has fewer.
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
        self._teacher = (frozen_teacher(teacher, settings.teacher_norms),)  # in a tuple: neither trained nor saved
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
        if self.settings.features_weight:
            losses["features"] = trust * self._feature_loss()
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
