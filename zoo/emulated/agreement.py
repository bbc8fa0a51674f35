"""How far embeddings from an emulated machine are from those of this one, and how far they may be.

Embeddings have length 1. In fp32 both machines compute the same sums in another order: no number may differ by more
than 1e-4. In fp16 and int8 each machine rounds in its own way, so that the angle decides: cosine 0.999 or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from targets.settings import Precision

LARGEST, LEAST = 1e-4, 0.999


@dataclass(frozen=True)
class Closeness:
    """How near two sets of embeddings are, over `images` images."""

    images: int
    largest_difference: float
    min_cosine: float
    mean_cosine: float


def closeness(here: np.ndarray, there: np.ndarray) -> Closeness | str:
    """Compare embeddings N×D with those from elsewhere; or why they can't be compared, in words."""
    if there.shape != here.shape or there.dtype.kind != "f":
        return f"it returns {there.dtype} {_size(there)}, not float32 {_size(here)}"
    if not np.isfinite(there).all():
        return f"{int((~np.isfinite(there)).any(1).sum())} of {len(there)} embeddings are not finite"
    ours, theirs = here.astype(np.float64), there.astype(np.float64)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    if not lengths.all():
        return "an embedding is zero"
    cosines = np.minimum((ours * theirs).sum(1) / lengths, 1.0)
    return Closeness(len(here), float(np.abs(ours - theirs).max()), float(cosines.min()), float(cosines.mean()))


def _size(array: np.ndarray) -> str:
    return "×".join(map(str, array.shape))


def too_far(found: Closeness, precision: Precision) -> str:
    """By how much embeddings are too far apart for a precision, in words; empty if they are not."""
    if precision == "fp32":
        if found.largest_difference > LARGEST:
            return f"embeddings differ by up to {found.largest_difference:.2g}, at most {LARGEST:g} expected"
    elif found.min_cosine < LEAST:
        return f"the smallest cosine is {found.min_cosine:.5f}, at least {LEAST:g} expected"
    return ""
