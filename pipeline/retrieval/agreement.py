"""Agreement of quantised embeddings with their reference: by cosine, by neighbours, by AP per query."""

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
RESAMPLES = 2000  # resamples of the interval: its ends then vary by a few per cent of its width
BLOCK = 2**22  # counts drawn at once
WORSE_POINTS = 1.0
NOT_FOUND = -2.0  # less than any cosine


class Agreement(Settings):
    """Agreement on all images of a split, with the network in torch as reference."""

    min_cosine: float = Field(description="smallest cosine of an image's two embeddings; whether any is wrong")
    mean_cosine: float = Field(description="mean cosine over all images; how far rounding moves an embedding")
    shared_neighbours: float = Field(
        description=f"of the {NEIGHBOURS} nearest gallery images of a query, % in common; whether users notice it"
    )
    map_drop_points: float = Field(description="mAP in torch − mAP here, percentage points; the gate limits it")
    map_drop_interval: tuple[float, float] | None = Field(
        description="95 % interval of the drop, by bootstrap over identities (percentiles of the mean of "
        "paired differences of AP); whether the drop is significant; null for one identity"
    )
    largest_ap_drop_points: float = Field(description="largest drop of a query, points of AP; what the mean may hide")
    queries_worse: float = Field(
        description=f"queries that lost more than {WORSE_POINTS:g} point of AP, %; few large losses, or many small ones"
    )


@dataclass(frozen=True)
class Answered:
    """Results of embeddings Q×D and G×D on a test set.

    `nearest` is Q×10; `precisions` is the AP of Q queries, 0 … 1, NaN where a query does not count; `identities` are
    those of the queries.
    """

    query: np.ndarray
    gallery: np.ndarray
    nearest: np.ndarray
    precisions: np.ndarray
    identities: np.ndarray
    accuracy: Accuracy


def answer(query: np.ndarray, gallery: np.ndarray, query_of: Samples, gallery_of: Samples) -> Answered:
    """Rank the gallery for every query, in the memory of `retrieval_accuracy`.

    An embedding that is not finite, as after overflow in fp16, counts as zeros, similar to nothing. In the gallery it
    ranks last; as a query it finds its answers last.
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
    nearest_of_all = np.concatenate(nearest)
    accuracy = accuracy_of(ranks, len(gallery_of))
    return Answered(query, gallery, nearest_of_all, precisions, query_of.identities, accuracy)


def identity_interval(differences: np.ndarray, identities: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean of paired differences, by resampling identities with replacement; None for one.

    Queries of an identity are similar, so a loss on one is a loss on the others; treated as independent, they would
    give too narrow an interval (Field & Welsh, Bootstrapping clustered data, JRSS B 2007). The resamples are
    deterministic.

    Args:
        differences, identities: Q, one per query.
    """
    _, place = np.unique(identities, return_inverse=True)
    sums, counts = np.bincount(place, differences), np.bincount(place)
    count = len(counts)
    if count < 2:
        return None
    random = np.random.default_rng(0)
    step = max(1, BLOCK // count)
    means: list[np.ndarray] = []
    for start in range(0, RESAMPLES, step):
        drawn = random.multinomial(count, np.full(count, 1 / count), min(step, RESAMPLES - start))
        means.append((drawn @ sums) / (drawn @ counts))
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def agreement(reference: Answered, other: Answered) -> Agreement:
    """Compare two sets of unit embeddings of the same images."""
    cosine = np.concatenate(
        [(reference.query * other.query).sum(1), (reference.gallery * other.gallery).sum(1)], dtype=np.float64
    )
    shared = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(reference.nearest, other.nearest, strict=True)]
    drops = 100 * (reference.precisions - other.precisions)
    counted = ~np.isnan(drops)
    drops = drops[counted]
    return Agreement(
        min_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
        shared_neighbours=100 * float(np.mean(shared)),
        map_drop_points=float(drops.mean()),
        map_drop_interval=identity_interval(drops, reference.identities[counted]),
        largest_ap_drop_points=float(drops.max()),
        queries_worse=100 * float(np.mean(drops > WORSE_POINTS)),
    )
