"""What labels alone teach: identity and triplet loss on an embedder with a classifier."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.embedder import Embedder
from pipeline.training.schedule import Supervision
from pipeline.training.task import Task
from pipeline.training.together import gathered
from pipeline.training.triplet import batch_hard_triplet


class Scores(NamedTuple):
    """`pooled` N×C behind the backbone; `embedding` N×D; `classes` N×identities."""

    pooled: Tensor
    embedding: Tensor
    classes: Tensor


class Classified(nn.Module):
    """An embedder with a bias-free classifier on top, which only training uses."""

    def __init__(self, embedder: Embedder, identities: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.classifier = nn.Linear(embedder.embedding, identities, bias=False)

    def forward(self, images: Tensor) -> Scores:
        pooled, embedding = self.embedder.features(images)
        return Scores(
            pooled.float(), embedding.float(), self.classifier(embedding).float()
        )  # losses are float32 in any precision


def label_losses(scores: Scores, labels: Tensor, settings: Supervision) -> dict[str, Tensor]:
    """Weighted identity and triplet loss; the latter over the batches of all processes."""
    identity = functional.cross_entropy(scores.classes, labels, label_smoothing=settings.label_smoothing)
    triplet = batch_hard_triplet(gathered(scores.pooled), gathered(labels), settings.margin)
    return {"identity": settings.identity_weight * identity, "triplet": settings.triplet_weight * triplet}


class SupervisedTask(Task):
    """Fine-tuning on labels: the teacher's task."""

    def __init__(self, network: Classified, settings: Supervision) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    @property
    def classifier(self) -> nn.Linear:
        return self.network.classifier

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        losses = label_losses(self.network(images), labels, self.settings)
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
