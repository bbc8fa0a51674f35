"""Finds the images of a gallery that are nearest to a query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipeline.progress import Progress
from targets.settings import EMBED_BATCH
from zoo.errors import GalleryError
from zoo.home import Home
from zoo.use.embedder import Embedder, default_release, load
from zoo.use.gallery import Gallery, embed_folder, read_gallery
from zoo.use.sheet import Neighbour
from zoo.use.unchanged import Stale, Unchanged

Loader = Callable[[str, str | None], Embedder]
"""Loads a release by name, for a target or the best one."""


@dataclass(frozen=True)
class Answer:
    """The nearest images, nearest first, and the model that found them.

    Attributes:
        stale: images that changed or are gone since they were embedded; they are left out.
        checked: False if the gallery's folder is not here, so that changes can't be detected.
    """

    embedder: Embedder
    gallery: Gallery
    nearest: list[Neighbour]
    stale: tuple[Stale, ...] = ()
    checked: bool = True


def _load_for(gallery: Gallery, model: str | None, target: str | None, loader: Loader) -> Embedder:
    """Load the model that embedded the gallery, unless another is requested."""
    own = gallery.model.partition("@")[0]
    if target is None and (model is None or model.partition("@")[0] == own):
        target = gallery.target
    return loader(model or gallery.model, target)


def find_nearest(
    image: Path,
    where: Path,
    count: int,
    model: str | None,
    target: str | None,
    progress: Progress,
    loader: Loader = load,
) -> Answer:
    """The `count` images of a gallery that are nearest to a query and unchanged since they were embedded.

    Args:
        where: a folder, which is embedded now, or a file of `zoo embed`.
        model, target: by default those that embedded the gallery; for a folder the default release and its best target.
        loader: loads the model; by default a release on this machine.

    Raises:
        ZooError: the query or the gallery can't be read; the model is not here, or is not the gallery's; or all images
            of the gallery changed.
    """
    if not where.exists():
        raise GalleryError(f"the gallery {where} does not exist. Name a folder of images, or a file of zoo embed.")
    kept = None if where.is_dir() else read_gallery(where)
    embedder = _load_for(kept, model, target, loader) if kept else loader(model or default_release(Home.find()), target)
    if kept:
        kept.check_fits(embedder, str(where))
    pixels = embedder.read(image)  # before the gallery, which may take long
    gallery = kept or embed_folder(embedder, where, EMBED_BATCH, progress)
    places, similarities = gallery.nearest(embedder.embed(pixels)[0])
    checked = kept is None or gallery.folder.is_dir()
    unchanged = Unchanged(gallery.folder, gallery.paths, gallery.files, progress) if kept and checked else None
    rows = dict(zip(places.tolist(), similarities.tolist(), strict=True))  # nearest first
    found = islice(unchanged.among(iter(rows)) if unchanged else rows, count)
    nearest = [Neighbour(gallery.folder / gallery.paths[place], gallery.paths[place], rows[place]) for place in found]
    stale = tuple(sorted(unchanged.stale.values(), key=lambda one: one.path)) if unchanged else ()
    if not nearest:
        raise GalleryError(
            f"all {len(gallery.paths)} images of {where} changed or are gone since they were embedded, such as "
            f"{stale[0].path}. Embed again: zoo embed {gallery.folder} -o {where}"
        )
    return Answer(embedder, gallery, nearest, stale, checked)
