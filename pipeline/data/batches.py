"""Training batches: images read, augmented and stacked in the sampler's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from pipeline.data.images import Input, read_image
from pipeline.data.loading import explained
from pipeline.data.sampler import Draw, IdentitySampler, Sampling
from pipeline.data.samples import Samples

KEPT_BYTES = 256 * 2**20  # decoded training images up to this total size stay in memory, in each loading process


class _TrainingImages(TorchDataset[tuple[torch.Tensor, int]]):
    def __init__(self, samples: Samples, size: Input, sampling: Sampling) -> None:
        self.samples, self.size = samples, size
        self.labels = samples.labels
        self.keep = len(samples) * size.height * size.width * 3 <= KEPT_BYTES
        self.kept: dict[int, torch.Tensor] = {}
        mean = [round(255 * value) for value in size.normalisation[0]]
        self.augment = v2.Compose(
            [
                v2.RandomHorizontalFlip(sampling.flip),
                v2.Pad(sampling.pad),
                v2.RandomCrop((size.height, size.width)),
                v2.RandomErasing(sampling.erase, scale=(0.02, sampling.erase_area), value=mean),
            ]
        )

    def _read(self, index: int) -> torch.Tensor:
        if index in self.kept:
            return self.kept[index]
        pixels = read_image(self.samples.root / self.samples.paths[index], self.size)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        if self.keep:
            self.kept[index] = image
        return image

    def __getitem__(self, draw: Draw) -> tuple[torch.Tensor, int]:
        index, seed = draw
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(
                seed
            )  # torch.manual_seed also reseeds GPUs, which costs as much as everything else
            return self.augment(self._read(index)), int(self.labels[index])


class TrainingBatches:
    """uint8 images P·K×3×H×W and int64 labels P·K, epoch by epoch.

    Args:
        workers: processes that read images; 0 reads in this one.
        part, parts: return only this one of so many equal parts of each batch.

    Raises:
        DataError: see `IdentitySampler`.
    """

    def __init__(
        self,
        samples: Samples,
        size: Input,
        sampling: Sampling,
        seed: int,
        workers: int = 0,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.sampler = IdentitySampler(samples.labels, sampling, seed, part, parts)
        options: dict[str, Any] = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
        self.loader = DataLoader(
            _TrainingImages(samples, size, sampling),
            batch_sampler=self.sampler,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own: repeating an epoch must not change training's random state
            **options,
        )

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return self.sampler.batches

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of epoch `number` (from 0), from batch `start` on; deterministic.

        Raises:
            LoadingFailed: a loading process ended, or can't hand over its images.
        """
        self.sampler.epoch, self.sampler.start = number, start
        with explained():
            source = iter(self.loader)
        while True:
            with explained():
                batch = next(source, None)
            if batch is None:
                return
            yield batch
