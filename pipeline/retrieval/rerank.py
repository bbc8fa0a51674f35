"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

It uses the whole gallery and all queries at once, which a device that answers one query can't do: always a separate
figure, never the headline.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.data.samples import Samples
from pipeline.retrieval.accuracy import Accuracy, Scored, accuracy_of, cosine_blocks, nothing_counts, scored_ranks
from pipeline.settings import Settings

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor


class ReRanking(Settings):
    """Neighbours k1 of the reciprocal sets, k2 of the query expansion, and the weight λ of the plain distance."""

    k1: int = Field(60, ge=1)
    k2: int = Field(10, ge=1)
    weight: float = Field(0.3, ge=0, le=1)

    @property
    def protocol(self) -> str:
        """Label of accuracies with these settings."""
        return (
            f"k-reciprocal re-ranking (k1 {self.k1}, k2 {self.k2}, λ {self.weight:g}) over all queries and gallery; "
            "same identity and camera ignored; AP over all right ranks"
        )


def _neighbours(unit: np.ndarray, k: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Of N×D unit rows: indices N×k of the nearest, themselves first, and each row's largest squared distance."""
    nearest, largest = [], []
    for rows, scores in cosine_blocks(unit, unit, device):
        own = np.arange(rows.start, rows.stop)
        largest.append((2 - 2 * scores.min(1).values).cpu().numpy())
        scores[range(len(own)), own] = 2.0  # an image is its own nearest neighbour, duplicates or not
        nearest.append(scores.topk(k, dim=1).indices.cpu().numpy())
    return np.concatenate(nearest), np.concatenate(largest)


def _reciprocal(nearest: np.ndarray, k: int) -> list[np.ndarray]:
    """For each row, the neighbours among its first k + 1 that have the row among theirs."""
    first = nearest[:, : k + 1]
    return [row[(first[row] == index).any(1)] for index, row in enumerate(first)]


def _encoding(unit: np.ndarray, nearest: np.ndarray, largest: np.ndarray, settings: ReRanking) -> csr_array:
    """Each row as Gaussian weights of its expanded reciprocal neighbours, averaged over its k2 nearest (eq. 4–11)."""
    from scipy import sparse

    wide = _reciprocal(nearest, settings.k1)
    narrow = _reciprocal(nearest, round(settings.k1 / 2))
    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    counts: list[int] = []
    for index, mine in enumerate(wide):
        near = [narrow[j] for j in mine]
        more = [some for some in near if len(np.intersect1d(some, mine, assume_unique=True)) > 2 / 3 * len(some)]
        mine = np.unique(np.concatenate([mine, *more]))
        weights = np.exp(-(2 - 2 * unit[mine] @ unit[index]) / largest[index])
        columns.append(mine)
        values.append(weights / weights.sum())
        counts.append(len(mine))
    size = len(unit), len(unit)
    encoded = sparse.csr_array((np.concatenate(values), np.concatenate(columns), [0, *np.cumsum(counts)]), size)
    first = nearest[:, : settings.k2]
    starts = np.arange(len(first) + 1) * first.shape[1]
    return sparse.csr_array((np.full(first.size, 1 / first.shape[1]), first.ravel(), starts), size) @ encoded


def reranked_blocks(query: np.ndarray, gallery: np.ndarray, settings: ReRanking, device: str) -> Iterator[Scored]:
    """Negative re-ranked distance of query embeddings Q×D to gallery embeddings G×D, in blocks of queries.

    Memory besides the embeddings: the blocks of `cosine_blocks`, N×(k1 + 1) indices and the sparse encoding of the
    N = Q + G images (a few times k1 entries each).

    Raises:
        DataError: there are no queries, or no gallery.
    """
    if not len(query) or not len(gallery):
        raise nothing_counts(len(query), len(gallery))
    import torch

    unit = np.concatenate([query, gallery]).astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    nearest, largest = _neighbours(unit, min(max(settings.k1 + 1, settings.k2), len(unit)), device)
    largest = np.maximum(largest, 1e-12)
    encoding = _encoding(unit, nearest, largest, settings)
    holders = encoding.tocsc()
    for rows, cosines in cosine_blocks(query, gallery, device):
        shared = np.zeros((rows.stop - rows.start, len(unit)), np.float32)
        for row, index in enumerate(range(rows.start, rows.stop)):
            mine = encoding[[index]]
            others = holders[:, mine.indices]
            least = np.minimum(others.data, np.repeat(mine.data, np.diff(others.indptr)))
            shared[row] = np.bincount(others.indices, least, len(unit))
        overlap: Tensor = torch.from_numpy(shared[:, len(query) :]).to(cosines.device)
        plain = (2 - 2 * cosines) / torch.from_numpy(largest[rows, None]).to(cosines.device)
        jaccard = 1 - overlap / (2 - overlap)
        yield rows, -((1 - settings.weight) * jaccard + settings.weight * plain)


def reranked_accuracy(
    query: np.ndarray,
    gallery: np.ndarray,
    query_of: Samples,
    gallery_of: Samples,
    settings: ReRanking,
    device: str = "cpu",
) -> Accuracy:
    """Like `retrieval_accuracy`, with k-reciprocal re-ranking; `protocol` says so."""
    ranks = scored_ranks(reranked_blocks(query, gallery, settings, device), query_of, gallery_of)
    return accuracy_of(ranks, len(gallery_of), settings.protocol)
