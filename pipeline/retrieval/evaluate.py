"""Accuracy of a torch network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.samples import Samples
from pipeline.errors import TrainingDiverged
from pipeline.retrieval.accuracy import Accuracy, retrieval_accuracy

if TYPE_CHECKING:
    from torch import nn

    from pipeline.data.images import Input


def embed_with(network: nn.Module, batches: Iterable[np.ndarray], device: str) -> np.ndarray:
    """Embeddings N×D, float32, not normalised, of uint8 batches N×H×W×3 in evaluation mode."""
    import torch

    network.eval().to(device)
    with torch.inference_mode():
        parts = [network(torch.from_numpy(batch).to(device).permute(0, 3, 1, 2)).cpu().numpy() for batch in batches]
    return np.concatenate(parts)


def evaluate_network(
    network: nn.Module, query: Samples, gallery: Samples, size: Input, device: str, batch: int = 64
) -> Accuracy:
    """Accuracy of a torch network on a test split.

    Raises:
        TrainingDiverged: an embedding is not finite.
    """
    from pipeline.data.images import read_batches

    def embed(samples: Samples) -> np.ndarray:
        rows = embed_with(network, read_batches(samples, size, batch), device)
        bad = np.flatnonzero(~np.isfinite(rows).all(1))
        if len(bad):
            raise TrainingDiverged(
                f"embeddings of {len(bad)} of {len(rows)} images are not finite, the first of {samples.paths[bad[0]]}"
            )
        return rows

    return retrieval_accuracy(embed(query), embed(gallery), query, gallery, device)
