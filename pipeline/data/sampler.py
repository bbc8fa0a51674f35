"""Identity-balanced draws, equal for equal seeds whatever the number of loading processes.

Every draw has its own seed, made from (seed, epoch, position in the epoch): neither the number of workers nor an
interruption changes the network's input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.errors import DataError
from pipeline.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Draw = tuple[int, int]  # index of the image, and the seed of its augmentation


class Sampling(Settings):
    """Batches of `identities` × `images`; augmentation as in the paper's schedule (flip, pad and crop, erase)."""

    identities: int = Field(16, ge=2)
    images: int = Field(6, ge=2)
    flip: Share = 0.5
    pad: int = Field(10, ge=0)  # pixels on each side, before a random crop back to size
    erase: Share = 0.5
    erase_area: float = Field(0.33, gt=0.02, le=1, description="largest share of an image that is erased, above 0.02")

    def check(self, identities: int) -> None:
        """Check that there are enough identities.

        Raises:
            DataError: there are fewer than a batch needs.
        """
        if identities < self.identities:
            raise DataError(
                f"a batch needs {self.identities} identities, but the training split has {identities}. "
                "Lower sampling.identities."
            )


class IdentitySampler:
    """Batches of P identities × K images each, distinct identities within a batch.

    An epoch has as many batches as the images fill. Identities come in shuffled rounds; images of one with fewer than K
    are repeated. `epoch` and `start` select the epoch, and its first batch.

    Args:
        part, parts: return only this one of so many equal parts of each batch.

    Raises:
        DataError: fewer identities than a batch needs, or a batch that can't be divided equally.
    """

    def __init__(self, labels: np.ndarray, sampling: Sampling, seed: int, part: int = 0, parts: int = 1) -> None:
        self.groups = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
        sampling.check(len(self.groups))
        size = sampling.identities * sampling.images
        if size % parts:
            raise DataError(
                f"a batch of {sampling.identities} × {sampling.images} = {size} images can't be divided among {parts} "
                "processes. Set sampling.identities to a multiple of their number."
            )
        self.sampling, self.seed, self.epoch, self.start = sampling, seed, 0, 0
        self.batches = max(1, len(labels) // size)
        self.part = slice(part * size // parts, (part + 1) * size // parts)

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[Draw]]:
        random = np.random.default_rng([self.seed, self.epoch])
        size, count = self.sampling.identities, self.sampling.images
        round_: list[int] = []
        for batch in range(self.batches):
            if len(round_) < size:  # the rest of a round is dropped, otherwise a batch could hold an identity twice
                round_ = random.permutation(len(self.groups)).tolist()
            chosen, round_ = round_[:size], round_[size:]
            images = np.concatenate(
                [random.choice(self.groups[i], count, replace=len(self.groups[i]) < count) for i in chosen]
            )
            seeds = random.integers(2**62, size=len(images))
            if batch >= self.start:
                yield [*zip(images.tolist(), seeds.tolist(), strict=True)][self.part]
