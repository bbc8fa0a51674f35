"""Images that both machines embed: the golden input, and a sample of the test set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.data.images import read_batches
from pipeline.data.samples import Samples
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import answer
from pipeline.stages.measure import score
from targets.settings import EMBED_BATCH
from zoo.errors import ManifestError
from zoo.measure.measuring import Protocol
from zoo.release.local import Release
from zoo.use.golden import Golden, read_golden


def _spread(samples: Samples, count: int) -> np.ndarray:
    """Indices of so many images, spread evenly."""
    return np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int))


@dataclass(frozen=True)
class Images:
    """The golden input first, then queries, then gallery images.

    Attributes:
        protocol: of the release; without data there is no sample.
        queries, gallery: indices of the sample.
    """

    golden: Golden
    protocol: Protocol
    queries: np.ndarray
    gallery: np.ndarray

    @cached_property
    def pixels(self) -> np.ndarray:
        """All images, uint8 N×H×W×3 RGB."""
        parts, data, size = [self.golden.picture[None]], self.protocol.data, self.protocol.input
        if data:
            for samples, places in ((data.query, self.queries), (data.gallery, self.gallery)):
                parts += read_batches(samples.subset(places), size, EMBED_BATCH) if len(places) else ()
        return np.concatenate(parts)

    @property
    def fingerprint(self) -> str | None:
        """Of the data set; None if there is no sample."""
        return self.protocol.data.fingerprint if self.protocol.data and len(self.queries) else None

    @property
    def is_whole(self) -> bool:
        """Whether the sample is the whole test set."""
        data = self.protocol.data
        return data is not None and (len(self.queries), len(self.gallery)) == (len(data.query), len(data.gallery))

    def accuracy(self, embeddings: np.ndarray) -> Accuracy | None:
        """Accuracy of embeddings of all images; None for a sample, in whose gallery most queries have no answer."""
        data = self.protocol.data
        if data is None or not self.is_whole:
            return None
        query, gallery = np.split(embeddings[1:], [len(self.queries)])
        return score(answer(query, gallery, data.query, data.gallery), data, self.protocol.measure.rerank)[0]


def choose_images(release: Release, protocol: Protocol, count: int | None) -> Images:
    """Images of a release to embed.

    Args:
        count: of the sample, half of them queries; None: the whole test set.

    Raises:
        ManifestError: the release has no golden input here.
    """
    golden, data, nothing = read_golden(release.path.parent), protocol.data, np.array([], int)
    if golden is None:
        label = release.manifest.label
        raise ManifestError(f"{label} has no golden input here, with which it is compared. Get it: zoo pull {label}")
    if data is None:
        return Images(golden, protocol, nothing, nothing)
    if count is None:
        return Images(golden, protocol, np.arange(len(data.query)), np.arange(len(data.gallery)))
    return Images(golden, protocol, _spread(data.query, (count + 1) // 2), _spread(data.gallery, count // 2))
