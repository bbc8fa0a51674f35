"""Finds the images of a gallery or an index that are nearest to a query."""

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
from zoo.use.gallery import check_exists, embed_folder, read_gallery
from zoo.use.index import open_index
from zoo.use.origin import Origin, check_fits
from zoo.use.sheet import Neighbour
from zoo.use.unchanged import Stale, Unchanged, why_stale

PATIENCE = 1000  # images of an index that are looked at in vain before it counts as outdated

Loader = Callable[[str, str | None], Embedder]
"""Loads a release by name, for a target or the best one."""


@dataclass(frozen=True)
class Answer:
    """The nearest images, nearest first, and the model that found them.

    Attributes:
        gallery: what was searched.
        stale: images that changed or are gone since they were embedded; they are left out. Of an index, only those
            that are near.
        checked: False if the gallery's folder is not here, so that changes can't be detected.
        recall: of an index, see `zoo.use.index.Index`; None: every image was compared.
    """

    embedder: Embedder
    gallery: Origin
    nearest: list[Neighbour]
    stale: tuple[Stale, ...] = ()
    checked: bool = True
    recall: float | None = None


def _load_for(gallery: Origin, model: str | None, target: str | None, loader: Loader) -> Embedder:
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
    check_exists(where)
    kept = None if where.is_dir() else read_gallery(where)
    embedder = _load_for(kept, model, target, loader) if kept else loader(model or default_release(Home.find()), target)
    if kept:
        check_fits(kept, embedder, str(where))
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


def find_in_index(
    image: Path, file: Path, count: int, model: str | None, target: str | None, loader: Loader = load
) -> Answer:
    """The `count` images of an index that are nearest to a query and unchanged since they were embedded.

    Only the images that are found are checked for changes.

    Args:
        file: of `zoo index`.
        model, target: by default those that embedded its gallery.
        loader: loads the model; by default a release on this machine.

    Raises:
        ZooError: the query or the index can't be read; the model is not here, or is not the index's; or all images
            near the query changed.
    """
    index = open_index(file)
    embedder = _load_for(index, model, target, loader)
    check_fits(index, embedder, str(file), "make an index of a gallery that it embedded")
    embedding = embedder.embed(embedder.read(image))[0]
    checked, stale = index.folder.is_dir(), dict[int, Stale]()
    wanted, nearest, seen = min(count, index.count), list[Neighbour](), set[int]()
    while len(nearest) < count and len(seen) < min(index.count, count + PATIENCE):
        for place, similarity in zip(*(one.tolist() for one in index.nearest(embedding, wanted)), strict=True):
            if place in seen or len(nearest) == count:
                continue
            seen.add(place)
            path = index.path(place)
            if why := why_stale(index.folder / path, index.file(place)) if checked else "":
                stale[place] = Stale(path, why)
            else:
                nearest.append(Neighbour(index.folder / path, path, similarity))
        wanted = min(2 * wanted, index.count)
    if not nearest:
        first = min(stale.values(), key=lambda one: one.path)
        raise GalleryError(
            f"all {len(seen)} images near the query changed or are gone since they were embedded, such as "
            f"{first.path}. Index again: zoo index {index.folder} -o {file}"
        )
    nearest.sort(key=lambda one: -one.similarity)  # the last search may have found nearer ones
    gone = tuple(sorted(stale.values(), key=lambda one: one.path))
    return Answer(embedder, index, nearest, gone, checked, index.recall)
