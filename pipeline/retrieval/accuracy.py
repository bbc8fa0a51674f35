"""Retrieval metrics: mAP, CMC and mINP under the camera rule, in blocks of bounded memory.

Protocol (Zheng et al., ICCV 2015; VeRi-776): gallery images with the query's identity *and* camera are ignored; a query
without any other correct answer is not counted. AP is the mean of the precision at each correct rank; mINP (Ye et al.,
TPAMI 2021) the mean of correct answers ÷ rank of the last one.
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

BLOCK_BYTES = 128 * 2**20  # of scores; the previous block may still be held while one is computed
PROTOCOL = "cosine; same identity and camera ignored; AP over all right ranks; no re-ranking"

Scored = tuple[slice, "Tensor"]  # which queries, and their scores B×G


class Accuracy(Settings):
    """Figures in per cent, and their protocol."""

    map: float = Field(description="mean average precision, %; used by gates and tables")
    cmc1: float = Field(description="queries whose first answer is correct, %; the value of one answer")
    cmc5: float = Field(description="queries with a correct answer among the first 5, %; the value of a short list")
    cmc10: float = Field(description="queries with a correct answer among the first 10, %")
    minp: float = Field(description="mean inverse negative penalty, %; how far down the last correct answer is")
    queries: int = Field(description="queries that count; how uncertain the figures are")
    skipped: int = Field(description="queries without a correct answer, not counted; whether the test set is sound")
    gallery: int = Field(description="images that were searched; figures on other sizes do not compare")
    protocol: str = Field(PROTOCOL, description="protocol in words; figures of others do not compare")


def nothing_counts(queries: int, gallery: int) -> DataError:
    """The error if no query counts."""
    return DataError(
        f"there is nothing to evaluate: none of {queries} queries has a correct answer among {gallery} gallery images, "
        "that is, one of its identity from another camera. Check the data set's query, gallery and pattern; for a "
        "set without cameras, set cameras: false."
    )


def average_precision(ranks: np.ndarray) -> float:
    """AP of one query from the ranks (from 1, ascending) of its correct answers; an answer never found has rank ∞."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def cosine_blocks(query: np.ndarray, gallery: np.ndarray, device: str) -> Iterator[Scored]:
    """Cosine of query embeddings Q×D to gallery embeddings G×D, in blocks of queries of about `BLOCK_BYTES`.

    Nothing of size G×D is copied on the CPU if the gallery is float32 already. Values that are not finite give NaN,
    which can't be ranked.

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
    """Ranks of correct answers by query, from scores (larger is nearer) in blocks of queries, in order."""
    answers = Answers(query_of, gallery_of)
    return [right_ranks(row, *answers(rows.start + n)) for rows, scores in blocks for n, row in enumerate(scores)]


def accuracy_of(ranks: list[np.ndarray], gallery: int, protocol: str = PROTOCOL) -> Accuracy:
    """Accuracy from every query's ranks of correct answers among `gallery` images.

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

    Memory besides the embeddings: two blocks of scores of at most 128 MiB (4 bytes × G if one query alone needs more),
    and up to 24 bytes × G for the query that is being counted.

    Raises:
        ValueError: an embedding is not finite.
        DataError: no query has a correct answer that counts.
    """
    for what, rows in (("query", query), ("gallery", gallery)):
        if not np.isfinite(rows).all():
            raise ValueError(f"{what} embeddings are not finite and can't be ranked")
    ranks = scored_ranks(cosine_blocks(query, gallery, device), query_of, gallery_of)
    return accuracy_of(ranks, len(gallery_of))
