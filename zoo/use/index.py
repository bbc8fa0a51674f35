"""An index of a gallery: the images nearest to a query among very many, without looking at most of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.use.index_build import check_installed
from zoo.use.index_file import About, Tensors, read_index
from zoo.use.inverted import InvertedFile
from zoo.use.origin import Skipped
from zoo.use.unchanged import File


@dataclass(frozen=True, eq=False)
class Index:
    """An open index; see `zoo.use.index_file` for what it holds."""

    about: About
    tensors: Tensors
    inverted: InvertedFile

    @property
    def model(self) -> str:
        """name@version."""
        return self.about.model

    @property
    def target(self) -> str:
        """Target or runtime."""
        return self.about.target

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return self.about.precision

    @property
    def artifact_sha256(self) -> str:
        """Digest of the artifact."""
        return self.about.artifact_sha256

    @property
    def folder(self) -> Path:
        """Of the images."""
        return Path(self.about.folder)

    @property
    def count(self) -> int:
        """Images."""
        return len(self.tensors.sizes)

    @property
    def dimension(self) -> int:
        """D, components of an embedding."""
        return int(self.tensors.centroids.shape[1])

    @property
    def recall(self) -> float | None:
        """Queries whose nearest image is found, %; None if all images are compared."""
        return self.about.recall if self.about.probe < self.inverted.lists else None

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Nothing: known only for a gallery that was just computed."""
        return ()

    def path(self, place: int) -> str:
        """Path of an image below the folder.

        Raises:
            GalleryError: it leads out of the folder.
        """
        return self.tensors.path(place)

    def file(self, place: int) -> File:
        """State of an image's file when it was embedded."""
        return self.tensors.file(place)

    def nearest(self, embedding: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The images nearest to a query among the lists that are searched.

        Args:
            embedding: D, of length 1.

        Returns:
            int64 and float32: their places and cosine similarities, nearest first; equal ones in the order of paths.

        Raises:
            GalleryError: a list is damaged.
        """
        places, similarities = (one[0] for one in self.inverted.search(embedding[None], count, self.about.probe))
        order = sorted(range(len(places)), key=lambda n: (-similarities[n], self.path(int(places[n]))))
        return places[order], similarities[order]


def open_index(path: Path) -> Index:
    """Open an index.

    Raises:
        GalleryError: faiss is missing; or the file can't be read, is damaged, or is no index.
    """
    check_installed()
    about, tensors = read_index(path)
    return Index(about, tensors, InvertedFile(tensors.centroids, tensors.starts, tensors.rows_of))
