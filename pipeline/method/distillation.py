"""What a student learns from labels and from its teacher, whatever becomes of its channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.method.losses import feature_distillation, logits_distillation
from pipeline.method.settings import Distillation
from pipeline.method.taps import Taps
from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import norm_output
from pipeline.networks.sites import Writer
from pipeline.training.supervised import Classified, label_losses
from pipeline.training.task import Task

Places = Mapping[str, tuple[nn.Module, bool]]  # by writer, the module whose output counts; whether channels come last


def norm_places(network: Embedder, writers: Mapping[str, Writer]) -> Places:
    """Where features of named writers are taken: behind the norm and before the activation."""
    return {name: (norm_output(network.get_submodule(some.place)), some.linear) for name, some in writers.items()}


class TaughtStudent(Task):
    """Four losses: identity, triplet, logits and features (CVPR 2023, section 3.2), under the sum `loss`.

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
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple: neither trained nor saved
        self._taught = Taps(taught)
        self._learnt = Taps(places)
        device = teacher.classifier.weight.device
        self._kept = {name: rows.to(device) for name, rows in (kept or {}).items()}

    @property
    def classifier(self) -> nn.Linear:
        return self.student.classifier

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        with torch.no_grad():
            taught = self._teacher[0](images)
        scores = self.student(images)
        logits = logits_distillation(scores.classes, taught.classes, settings.temperature)
        goals = {
            name: features[:, self._kept[name]] if name in self._kept else features
            for name, features in self._taught.features.items()
        }
        losses = {
            **label_losses(scores, labels, settings),
            "logits": settings.logits_weight * logits,
            "features": settings.features_weight * feature_distillation(self._learnt.features, goals),
        }
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
