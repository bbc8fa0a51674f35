"""What a student learns from labels and from its teacher, whatever becomes of its channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.method.losses import (
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
from pipeline.training.together import alone, gathered, normalise_together

Places = Mapping[str, tuple[nn.Module, bool]]  # by writer, the module whose output counts; whether channels come last


def norm_places(network: Embedder, writers: Mapping[str, Writer]) -> Places:
    """Where features of named writers are taken: behind the norm and before the activation."""
    return {name: (norm_output(network.get_submodule(some.place)), some.linear) for name, some in writers.items()}


def output_losses(student: Scores, teacher: Scores, labels: Tensor, settings: Distillation) -> dict[str, Tensor]:
    """Weighted losses on what a student gives: identity, triplet, logits, and relations if they have a weight."""
    losses = label_losses(student, labels, settings)
    losses["logits"] = settings.logits_weight * logits_distillation(
        student.classes, teacher.classes, settings.temperature
    )
    if settings.relations_weight:
        relations = relational_distillation(gathered(student.embedding), gathered(teacher.embedding))
        losses["relations"] = settings.relations_weight * relations
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
        losses = output_losses(self.student(images), taught, labels, self.settings)
        if self.settings.features_weight:
            losses["features"] = self._feature_loss()
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
