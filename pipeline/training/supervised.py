"""Training on labels alone: identity and triplet loss on an embedder with a classifier."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.embedder import Embedder
from pipeline.training.distributed import gathered
from pipeline.training.schedule import HeadInit, Supervision
from pipeline.training.task import Task

CLASSIFIER_STD = 0.001


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Hinge of hardest positive minus hardest negative, Euclidean (Hermans et al. 2017, arXiv 1703.07737).

    Args:
        features: N×C.
        labels: N; at least two identities, each at least twice.
    """
    distances = torch.cdist(features.float(), features.float())
    same = labels[:, None] == labels[None, :]
    positive = distances.masked_fill(~same, -torch.inf).amax(1)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    return functional.relu(positive - negative + margin).mean()


class Scores(NamedTuple):
    """`pooled` N×C after the backbone; `embedding` N×D; `classes` N×identities."""

    pooled: Tensor
    embedding: Tensor
    classes: Tensor


class Classified(nn.Module):
    """An embedder with a bias-free classifier, which only training uses.

    Args:
        init: `kaiming` also redraws the embedder's head, and draws the classifier from N(0, 0.001²).
        trained: the embedder's head stays, since it was trained before.
    """

    def __init__(
        self, embedder: Embedder, identities: int, init: HeadInit = "uniform", *, trained: bool = False
    ) -> None:
        super().__init__()
        self.embedder = embedder
        self.classifier = nn.Linear(embedder.embedding, identities, bias=False)
        if init == "kaiming":
            if not trained:
                embedder.draw_head()
            nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)

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
    """Fine-tuning on labels, for the teacher."""

    def __init__(self, network: Classified, settings: Supervision) -> None:
        super().__init__()
        self.classified, self.settings = network, settings

    @property
    def network(self) -> Classified:
        return self.classified

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        losses = label_losses(self.classified(images), labels, self.settings)
        return {"loss": torch.stack([*losses.values()]).sum(), **losses}
