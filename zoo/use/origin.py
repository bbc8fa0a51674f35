"""What was embedded, and by which model: the part that a gallery and an index share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zoo.errors import GalleryError
from zoo.use.embedder import Embedder


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    path: str
    why: str


class Origin(Protocol):
    """Embeddings of a folder, with the model that made them."""

    @property
    def model(self) -> str:
        """name@version."""

    @property
    def target(self) -> str:
        """Target or runtime, as `zoo.load(model, target)` takes it."""

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""

    @property
    def artifact_sha256(self) -> str:
        """Digest of the artifact."""

    @property
    def folder(self) -> Path:
        """Of the images."""

    @property
    def count(self) -> int:
        """Images."""

    @property
    def dimension(self) -> int:
        """D, components of an embedding."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that could not be read; empty if it was read from a file."""


def check_fits(origin: Origin, embedder: Embedder, name: str, again: str = "embed its folder again") -> None:
    """Refuse to compare with embeddings of another model.

    Args:
        name: of the gallery or index, for the message.
        again: how to make it with the model that is wanted.

    Raises:
        GalleryError: it comes from another model, or from another form of the same.
    """
    if origin.model != embedder.release:
        raise GalleryError(
            f"{name} was embedded by {origin.model}, which can't be compared with embeddings of {embedder.release}. "
            f"Use --model {origin.model}, or {again}."
        )
    if origin.artifact_sha256 != embedder.artifact_sha256:
        how, ours = (f"{one.target} in {one.precision}" for one in (origin, embedder))
        same = f"another build of {origin.model}" if how == ours else f"{origin.model} as {how}, not as {ours}"
        use = f"Use --target {origin.target}, or {again}" if origin.target != embedder.target else again.capitalize()
        raise GalleryError(f"{name} was embedded by {same}: similarities would be wrong. {use}.")
