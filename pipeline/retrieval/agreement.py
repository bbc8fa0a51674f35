"""How embeddings in small numbers agree with those they stand for: by cosine, by neighbours, by AP per query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.data.samples import Samples
from pipeline.retrieval.accuracy import Scored, accuracy_of, average_precision, cosine_blocks, scored_ranks
from pipeline.retrieval.ranks import Answers
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.retrieval.accuracy import Accuracy

NEIGHBOURS = 10
WORSE_POINTS = 1.0
NOT_FOUND = -2.0  # less than any cosine


class Agreement(Settings):
    """Figures on the whole test set, against the network in torch."""

    min_cosine: float = Field(description="the smallest cosine of an image's two embeddings; whether any is ruined")
    mean_cosine: float = Field(description="the mean cosine over all images; how far rounding moves an embedding")
    shared_neighbours: float = Field(
        description=f"of the {NEIGHBOURS} nearest gallery images of a query, % the same; whether users see a difference"
    )
    map_drop_points: float = Field(description="mAP in torch − mAP here, points of per cent; what the gate is on")
    map_drop_interval: tuple[float, float] = Field(
        description="95 % interval of the drop over queries (mean of paired differences of AP, normal approximation); "
        "whether it is more than chance"
    )
    largest_ap_drop_points: float = Field(
        description="of the query that lost most, points of AP; what the mean may hide"
    )
    queries_worse: float = Field(
        description=f"queries that lost more than {WORSE_POINTS:g} point of AP, %; whether few lost much or all a bit"
    )


@dataclass(frozen=True)
class Answered:
    """What embeddings Q×D and G×D answer to a test set.

    `nearest` is Q×10; `precisions` is the AP of Q queries, 0 … 1, NaN where a query does not count.
    """

    query: np.ndarray
    gallery: np.ndarray
    nearest: np.ndarray
    precisions: np.ndarray
    accuracy: Accuracy


def answer(query: np.ndarray, gallery: np.ndarray, query_of: Samples, gallery_of: Samples) -> Answered:
    """Rank the gallery for every query, in the memory of `retrieval_accuracy`.

    An embedding that is not of numbers, as where fp16 can't hold a value, counts as zeros: like nothing. In the gallery
    it comes behind all others; as a query it finds its answers last.
    """
    import torch

    lost, unfound = (~np.isfinite(rows).all(1) for rows in (query, gallery))
    query, gallery = (
        np.where(bad[:, None], 0, rows).astype(np.float32) for bad, rows in ((lost, query), (unfound, gallery))
    )
    nearest: list[np.ndarray] = []
    answers = Answers(query_of, gallery_of)

    def watched() -> Iterator[Scored]:
        for rows, scores in cosine_blocks(query, gallery, "cpu"):
            scores[:, torch.from_numpy(unfound)] = NOT_FOUND
            for place in np.flatnonzero(lost[rows]):
                scores[place, torch.from_numpy(answers(rows.start + place)[0])] = 2 * NOT_FOUND
            nearest.append(scores.topk(min(NEIGHBOURS, scores.shape[1])).indices.numpy())
            yield rows, scores

    ranks = scored_ranks(watched(), query_of, gallery_of)
    precisions = np.array([average_precision(row) if len(row) else np.nan for row in ranks])
    return Answered(query, gallery, np.concatenate(nearest), precisions, accuracy_of(ranks, len(gallery_of)))


def agreement(reference: Answered, other: Answered) -> Agreement:
    """Compare two sets of unit embeddings of the same images."""
    cosine = np.concatenate(
        [(reference.query * other.query).sum(1), (reference.gallery * other.gallery).sum(1)], dtype=np.float64
    )
    shared = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(reference.nearest, other.nearest, strict=True)]
    drops = 100 * (reference.precisions - other.precisions)
    drops = drops[~np.isnan(drops)]
    error = 1.96 * float(drops.std(ddof=1)) / len(drops) ** 0.5 if len(drops) > 1 else 0.0
    mean = float(drops.mean())
    return Agreement(
        min_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
        shared_neighbours=100 * float(np.mean(shared)),
        map_drop_points=mean,
        map_drop_interval=(mean - error, mean + error),
        largest_ap_drop_points=float(drops.max()),
        queries_worse=100 * float(np.mean(drops > WORSE_POINTS)),
    )
