"""The triplet loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
