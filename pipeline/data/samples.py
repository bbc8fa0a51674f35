"""Images of a split as plain lists, and the three splits of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.data.account import SplitAccount, SplitName


@dataclass(frozen=True)
class Samples:
    """Images of one split.

    `identities` and `cameras` are int64 arrays as long as `paths`; equal numbers mean equal names across all splits of
    a data set. The same holds for `contents` and equal files; None if files are unknown. `labels` numbers the
    identities of this split 0 … n-1, for a classifier.
    """

    root: Path
    paths: tuple[str, ...]
    identities: np.ndarray
    cameras: np.ndarray
    contents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def identity_count(self) -> int:
        """Number of different identities."""
        return len(np.unique(self.identities))

    def subset(self, chosen: np.ndarray) -> Samples:
        """The images at some indices, in that order."""
        paths = tuple(self.paths[place] for place in chosen)
        contents = None if self.contents is None else self.contents[chosen]
        return Samples(self.root, paths, self.identities[chosen], self.cameras[chosen], contents)

    @property
    def labels(self) -> np.ndarray:
        return np.unique(self.identities, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Index:
    """The three splits of a data set, the digest of their content, and their accounts.

    `gate` are images of training identities that are held out of `train` (`pipeline.data.gate`): choices by accuracy
    are made on them, and figures are reported on `query` and `gallery`. Without it, both use the test set.
    """

    train: Samples
    query: Samples
    gallery: Samples
    fingerprint: str
    accounts: Mapping[SplitName, SplitAccount] = field(default_factory=dict)
    gate: Samples | None = None

    @property
    def key(self) -> str:
        """Identity of these splits for dependent results: the images, and which of them are held out."""
        if self.gate is None:
            return self.fingerprint
        held = hashlib.sha256("\n".join(self.gate.paths).encode()).hexdigest()
        return f"{self.fingerprint}, held out {held}"

    @property
    def judged(self) -> tuple[Samples, Samples]:
        """Queries and gallery that decide gates. Those of `gate` are the same images: an image's own identity and
        camera do not count as an answer, so that it never finds itself.
        """
        return (self.query, self.gallery) if self.gate is None else (self.gate, self.gate)
