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
from pipeline.errors import DataError
from pipeline.retrieval.ranks import Answers, right_ranks
from pipeline.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_BYTES = 128 * 2**20  # of scores; while one block is computed the one before may still be held
PROTOCOL = "cosine; same identity and camera ignored; AP over all right ranks; no re-ranking"

Scored = tuple[slice, "Tensor"]  # which queries, and their scores B×G


class Accuracy(Settings):
    """Figures in per cent, and how they came about."""

    map: float = Field(description="mean average precision, %; what gates and tables go by")
    cmc1: float = Field(description="queries whose first answer is right, %; what one answer is worth")
    cmc5: float = Field(description="queries with a right answer among the first 5, %; what a short list is worth")
    cmc10: float = Field(description="queries with a right answer among the first 10, %")
    minp: float = Field(description="mean inverse negative penalty, %; how far one looks for the last right answer")
    queries: int = Field(description="queries that count; how uncertain the figures are")
    skipped: int = Field(description="queries without a right answer, not counted; whether the test set is sound")
    gallery: int = Field(description="images that were searched; figures on more or fewer do not compare")
    protocol: str = Field(PROTOCOL, description="how it was counted, in words; figures of another do not compare")


def nothing_counts(queries: int, gallery: int) -> DataError:
    """What to raise where no query counts."""
    return DataError(
        f"there is nothing to evaluate: none of {queries} queries has a right answer among {gallery} gallery images, "
        "which is one of its identity and under another camera. Look at the data set's query, gallery and pattern; a "
        "set that knows no cameras says so (cameras: false)."
    )


def average_precision(ranks: np.ndarray) -> float:
    """AP of one query from the ranks (from 1, ascending) of all its right answers; an answer never found has rank ∞."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def cosine_blocks(query: np.ndarray, gallery: np.ndarray, device: str) -> Iterator[Scored]:
    """Cosine of query embeddings Q×D to gallery embeddings G×D, in blocks of queries of about `BLOCK_BYTES`.

    Nothing of size G×D is copied on the CPU if the gallery is float32 already. What is no finite number gives NaN, by
    which nothing can be ranked.

    Raises:
        DataError: there are no queries, or no gallery.
    """
    if not len(query) or not len(gallery):
        raise nothing_counts(len(query), len(gallery))
    import torch
    from torch.nn import functional

    q, g = (torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device) for rows in (query, gallery))
    q = functional.normalize(q)
    lengths = torch.linalg.vector_norm(g, dim=1).clamp_min(1e-12)
    step = max(1, BLOCK_BYTES // (4 * len(g)))
    for start in range(0, len(q), step):
        rows = slice(start, min(start + step, len(q)))
        yield rows, (q[rows] @ g.T).div_(lengths)


def scored_ranks(blocks: Iterable[Scored], query_of: Samples, gallery_of: Samples) -> list[np.ndarray]:
    """Ranks of right answers by query, from scores (larger is nearer) that come in blocks of queries, in order."""
    answers = Answers(query_of, gallery_of)
    return [right_ranks(row, *answers(rows.start + n)) for rows, scores in blocks for n, row in enumerate(scores)]


def accuracy_of(ranks: list[np.ndarray], gallery: int, protocol: str = PROTOCOL) -> Accuracy:
    """Accuracy from every query's ranks of right answers among `gallery` images.

    Raises:
        DataError: no query counts.
    """
    counted = [row for row in ranks if len(row)]
    if not counted:
        raise nothing_counts(len(ranks), gallery)
    first = np.array([row[0] for row in counted])
    return Accuracy(
        map=100 * float(np.mean([average_precision(row) for row in counted])),
        cmc1=100 * float(np.mean(first <= 1)),
        cmc5=100 * float(np.mean(first <= 5)),
        cmc10=100 * float(np.mean(first <= 10)),
        minp=100 * float(np.mean([len(row) / row[-1] for row in counted])),
        queries=len(counted),
        skipped=len(ranks) - len(counted),
        gallery=gallery,
        protocol=protocol,
    )


def retrieval_accuracy(
    query: np.ndarray, gallery: np.ndarray, query_of: Samples, gallery_of: Samples, device: str = "cpu"
) -> Accuracy:
    """mAP, CMC@1/5/10 and mINP of embeddings Q×D against G×D.

    Memory beside the embeddings: two blocks of scores of at most 128 MiB (4 bytes × G where one query alone needs
    more), and up to 24 bytes × G for the query that is being counted.

    Raises:
        ValueError: an embedding is not of finite numbers.
        DataError: no query has a right answer that counts.
    """
    for what, rows in (("query", query), ("gallery", gallery)):
        if not np.isfinite(rows).all():
            raise ValueError(f"{what} embeddings hold what is no finite number: they can't be ranked")
    ranks = scored_ranks(cosine_blocks(query, gallery, device), query_of, gallery_of)
    return accuracy_of(ranks, len(gallery_of))
