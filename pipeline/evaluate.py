"""Retrieval metrics: mAP, CMC and mINP under the camera rule, in blocks of bounded memory.

Protocol (Zheng et al., ICCV 2015; VeRi-776): gallery images with the query's identity *and* camera do not count,
neither right nor wrong; a query with no right answer left is not counted. AP is the mean of the precision at each
right rank; mINP (Ye et al., TPAMI 2021) the mean of right answers ÷ rank of the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.data.samples import Samples
from pipeline.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.data.images import Input

BLOCK_BYTES = 256 * 2**20
PROTOCOL = "cosine; same identity and camera ignored; AP over all right ranks; no re-ranking"


class Accuracy(Settings):
    """Figures in per cent, and how they came about."""

    map: float = Field(description="mean average precision, %")
    cmc1: float = Field(description="queries whose first answer is right, %")
    cmc5: float
    cmc10: float
    minp: float = Field(description="mean inverse negative penalty, %")
    queries: int = Field(description="queries that count")
    skipped: int = Field(description="queries without a right answer, not counted")
    gallery: int
    protocol: str = PROTOCOL


def average_precision(ranks: np.ndarray) -> float:
    """AP of one query from the ranks (from 1, ascending) of all its right answers; an answer never found has rank ∞."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def _unit(embeddings: np.ndarray, device: str) -> Tensor:
    import torch
    from torch.nn import functional

    return functional.normalize(torch.from_numpy(np.ascontiguousarray(embeddings, np.float32)).to(device))


def _right_ranks(scores: Tensor, right: Tensor, junk: Tensor) -> Iterator[np.ndarray]:
    """For each row: ranks of its right answers among all that count. Equal scores keep the gallery's order."""
    import torch

    scores = scores.masked_fill(junk, -torch.inf)
    order = scores.argsort(dim=1, descending=True, stable=True)
    found = right.gather(1, order).cpu().numpy()
    for row in found:
        yield np.flatnonzero(row) + 1


def retrieval_accuracy(
    query: np.ndarray, gallery: np.ndarray, query_of: Samples, gallery_of: Samples, device: str = "cpu"
) -> Accuracy:
    """mAP, CMC@1/5/10 and mINP of embeddings Q×D against G×D.

    Memory: blocks of queries such that scores, order and masks stay within about 256 MiB beside the embeddings.
    """
    import torch

    q, g = _unit(query, device), _unit(gallery, device)
    identity = [torch.from_numpy(of.identities).to(device) for of in (query_of, gallery_of)]
    camera = [torch.from_numpy(of.cameras).to(device) for of in (query_of, gallery_of)]
    block = max(1, BLOCK_BYTES // (24 * len(g)))  # bytes a pair: two scores, an order, masks
    ranks: list[np.ndarray] = []
    for start in range(0, len(q), block):
        rows = slice(start, start + block)
        same = identity[0][rows, None] == identity[1][None, :]
        junk = same & (camera[0][rows, None] == camera[1][None, :])
        ranks.extend(_right_ranks(q[rows] @ g.T, same & ~junk, junk))
    counted = [row for row in ranks if len(row)]
    first = np.array([row[0] for row in counted])
    return Accuracy(
        map=100 * float(np.mean([average_precision(row) for row in counted])),
        cmc1=100 * float(np.mean(first <= 1)),
        cmc5=100 * float(np.mean(first <= 5)),
        cmc10=100 * float(np.mean(first <= 10)),
        minp=100 * float(np.mean([len(row) / row[-1] for row in counted])),
        queries=len(counted),
        skipped=len(ranks) - len(counted),
        gallery=len(g),
    )


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
    """Accuracy of a torch network on a test split."""
    from pipeline.data.images import read_batches

    def embed(samples: Samples) -> np.ndarray:
        return embed_with(network, read_batches(samples, size, batch), device)

    return retrieval_accuracy(embed(query), embed(gallery), query, gallery, device)
