"""Which images of a gallery are nearest to one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.progress import Progress
from zoo.errors import GalleryError
from zoo.home import Home
from zoo.use.embedder import Embedder, default_release, load
from zoo.use.gallery import Gallery, embed_folder, read_gallery
from zoo.use.sheet import Neighbour

BATCH = 8


@dataclass(frozen=True)
class Answer:
    """The nearest images, nearest first, and what found them."""

    embedder: Embedder
    gallery: Gallery
    nearest: list[Neighbour]


def _load_for(gallery: Gallery, model: str | None, target: str | None) -> Embedder:
    """What the gallery was embedded with, as far as nobody wants another."""
    own = gallery.model.partition("@")[0]
    if target is None and (model is None or model.partition("@")[0] == own):
        target = gallery.target
    return load(model or gallery.model, target)


def find_nearest(
    image: Path, where: Path, count: int, model: str | None, target: str | None, progress: Progress
) -> Answer:
    """The `count` images of a gallery that are nearest to an image.

    Args:
        where: a folder, which is embedded now; or what `zoo embed` made of one.
        model, target: left out: what the gallery was embedded with; for a folder the default release, and the best.

    Raises:
        ZooError: the image or the gallery can't be read; the model is not here, or another than the gallery's.
    """
    if not where.exists():
        raise GalleryError(f"there is no gallery {where}. Name a folder of images, or what zoo embed made of one.")
    kept = None if where.is_dir() else read_gallery(where)
    embedder = _load_for(kept, model, target) if kept else load(model or default_release(Home.find()), target)
    if kept:
        kept.check_fits(embedder, str(where))
    pixels = embedder.read(image)  # before the gallery: that may take long
    gallery = kept or embed_folder(embedder, where, BATCH, progress)
    places, similarities = gallery.nearest(embedder.embed(pixels)[0], count)
    nearest = [
        Neighbour(gallery.folder / gallery.paths[place], gallery.paths[place], float(similarity))
        for place, similarity in zip(places, similarities, strict=True)
    ]
    return Answer(embedder, gallery, nearest)
