"""Selects calibration images: a few that cover the embedding space.

Greedy k-centre (Gonzalez, Theoretical Computer Science 38, 1985; for active learning Sener & Savarese, ICLR 2018): the
next image is the one farthest from all selected ones. The largest distance is at most twice the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CANDIDATES = 4096  # a random part of larger sets, since each step compares every candidate


@dataclass(frozen=True)
class Coverage:
    """Distances (Euclidean, of unit embeddings: 0 … 2) of all candidates to the nearest selected one."""

    mean: float
    largest: float


def candidates(count: int, seed: int) -> np.ndarray:
    """Ascending indices of at most `CANDIDATES` out of `count` images."""
    random = np.random.default_rng(seed)
    return np.sort(random.choice(count, min(count, CANDIDATES), replace=False))


def _distances(embeddings: np.ndarray, one: int) -> np.ndarray:
    squared = 2 - 2 * embeddings @ embeddings[one]
    distances: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return distances


def k_centre(embeddings: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` embeddings: the most central one first, then the farthest one each time.

    Args:
        embeddings: N×D, rows of length 1. All are taken if N ≤ `count`.
    """
    chosen = [int(np.argmax(embeddings @ embeddings.mean(0)))]
    nearest = _distances(embeddings, chosen[0])
    while len(chosen) < min(count, len(embeddings)):
        nearest[chosen[-1]] = -1  # not selected again, not even among equals
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, _distances(embeddings, chosen[-1]))
    return np.array(chosen)


def coverage(embeddings: np.ndarray, chosen: np.ndarray) -> Coverage:
    """How well the selected embeddings represent all N×D."""
    cosine = embeddings @ embeddings[chosen].T
    distance = np.sqrt(np.maximum(2 - 2 * cosine.max(1), 0))
    return Coverage(float(distance.mean()), float(distance.max()))
