"""Makes an index of a gallery: lists by faiss's k-means, and as many searched as a wanted recall needs, which is
measured on the gallery itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.progress import Bar, Progress
from targets.installing import install_command
from zoo.errors import GalleryError
from zoo.use.gallery import Gallery
from zoo.use.index_file import DIGEST, NAMES, SHA256, About, write_index
from zoo.use.inverted import InvertedFile, use_cores

FEWEST = 39  # images per list, below which faiss doubts the centroids
TRAINING = 64  # images per list that k-means gets; more change recall little, and take longer
ROUNDS = 10  # of k-means
QUERIES, SHARE = 1000, 10  # images to measure recall with: at most so many, and one in ten
BLOCK = 65_536  # rows that are assigned at once
EQUAL = 1e-5  # cosines that differ by less are those of equally near images
SEED = 0


def check_installed() -> None:
    """Check, before the work, that the extra `index` is installed.

    Raises:
        GalleryError: it is not.
    """
    for module, name in (("faiss", "faiss-cpu"), ("safetensors", "safetensors")):
        if find_spec(module) is None:
            raise GalleryError(f"an index needs {name}, which is not installed. Run: {install_command('index')}")


def list_count(images: int) -> int:
    """4·√N lists (faiss's guideline), but none with too few images."""
    return max(1, min(4 * math.isqrt(images), images // FEWEST))


def split(images: int, lists: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of images to measure recall with, and of others for k-means, ascending. Centroids that were fitted to the
    queries would promise too much.
    """
    drawn = np.random.default_rng(SEED).permutation(images)
    held = min(QUERIES, images // SHARE)
    return np.sort(drawn[:held]), np.sort(drawn[held : held + TRAINING * lists])


def cluster(embeddings: np.ndarray, lists: int) -> np.ndarray:
    """Centroids of k-means on the sphere: float32 L×D, of length 1."""
    import faiss

    use_cores()
    if lists == 1:
        mean = embeddings.mean(0, keepdims=True)
        length = float(np.linalg.norm(mean))
        return (mean / length if length > 0 else embeddings[:1]).astype(np.float32)
    means = faiss.Kmeans(
        embeddings.shape[1], lists, niter=ROUNDS, spherical=True, seed=SEED,
        min_points_per_centroid=1, max_points_per_centroid=TRAINING,
    )  # fmt: skip
    means.train(embeddings)
    return np.asarray(means.centroids, np.float32)


def assign(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The list of each embedding: int64 N."""
    import faiss

    nearest = faiss.IndexFlatIP(centroids.shape[1])
    nearest.add(centroids)
    blocks = (embeddings[start : start + BLOCK] for start in range(0, len(embeddings), BLOCK))
    return np.concatenate([nearest.search(block, 1)[1][:, 0] for block in blocks])


def _best_other(places: np.ndarray, similarities: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Similarity of the nearest image but the query itself, of two columns."""
    return np.where(places[:, 0] == own, similarities[:, 1], similarities[:, 0])


def choose_probe(lists: InvertedFile, embeddings: np.ndarray, held: np.ndarray, wanted: float) -> tuple[int, float]:
    """How many lists to search: the fewest of 1, 2, 4 … with the wanted recall@1 against exact search, and that recall.

    Args:
        embeddings: float32 N×D, in the order of the lists.
        held: places of the images that are the queries, each without itself.
        wanted: 0 … 1, as the recall that is returned.
    """
    import faiss

    if not len(held) or lists.lists == 1:
        return lists.lists, 1.0
    queries = np.ascontiguousarray(embeddings[held])
    similarities, places = faiss.knn(queries, embeddings, 2, metric=faiss.METRIC_INNER_PRODUCT)
    exact = _best_other(places, similarities, held)
    probe = 1
    while True:
        found = _best_other(*lists.search(queries, 2, probe), held)
        recall = float((found >= exact - EQUAL).mean())
        if recall >= wanted or probe >= lists.lists:
            return probe, recall
        probe = min(2 * probe, lists.lists)


@dataclass(frozen=True, eq=False)
class Lists:
    """An index in memory: the order of the gallery's images, its tensors, and the recall (0 … 1) of so many queries."""

    order: np.ndarray
    embeddings: np.ndarray
    centroids: np.ndarray
    starts: np.ndarray
    probe: int
    recall: float
    queries: int


def make_lists(embeddings: np.ndarray, wanted: float, bar: Bar) -> Lists:
    """Divide embeddings into lists, and choose how many to search.

    Args:
        embeddings: float32 N×D, rows of length 1.
        wanted: recall@1, 0 … 1.
        bar: of three steps.
    """
    count = list_count(len(embeddings))
    held, training = split(len(embeddings), count)
    centroids = cluster(embeddings[training], count)
    bar.advance()
    assigned = assign(embeddings, centroids)
    order = np.argsort(assigned, kind="stable")
    ordered = embeddings[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(assigned, minlength=len(centroids)))]).astype(np.int64)
    bar.advance()
    lists = InvertedFile(centroids, starts, lambda number: ordered[starts[number] : starts[number + 1]])
    probe, recall = choose_probe(lists, ordered, np.flatnonzero(np.isin(order, held)), wanted)
    bar.advance()
    return Lists(order, ordered, centroids, starts, probe, recall, len(held))


def _joined(paths: list[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [path.encode(errors=NAMES) for path in paths]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), starts


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def build_index(path: Path, gallery: Gallery, wanted: float, progress: Progress) -> tuple[About, int]:
    """Make an index of a gallery, and write it; what it is, and how many lists it has.

    Args:
        wanted: recall@1, 0 … 1.

    Raises:
        GalleryError: the gallery's records of its files are damaged, or its folder's name is not UTF-8.
        OutputError: the index can't be written.
    """
    import faiss

    if not _is_utf8(str(gallery.folder)):
        raise GalleryError(f"the folder {gallery.folder} has a name that is not UTF-8. Rename it, and embed it again.")
    if not all(SHA256.fullmatch(one.sha256) for one in gallery.files):
        raise GalleryError("the gallery has an invalid sha256. Make it again: zoo embed FOLDER -o gallery.npz")
    with progress.bar("indexing", 3) as bar:
        lists = make_lists(gallery.embeddings, wanted, bar)
    files = [gallery.files[place] for place in lists.order.tolist()]
    paths, path_starts = _joined([gallery.paths[place] for place in lists.order.tolist()])
    contents = np.frombuffer(b"".join(bytes.fromhex(one.sha256) for one in files), np.uint8).reshape(-1, DIGEST)
    small = {
        "centroids": lists.centroids,
        "starts": lists.starts,
        "paths": paths,
        "path_starts": path_starts,
        "sizes": np.array([one.size_bytes for one in files], np.int64),
        "mtimes_ns": np.array([one.mtime_ns for one in files], np.int64),
        "sha256": contents,
    }
    about: dict[str, Any] = {name: str(getattr(gallery, name)) for name in ("model", "target", "precision", "folder")}
    about |= {
        "artifact_sha256": gallery.artifact_sha256,
        "probe": lists.probe,
        "recall": 100 * lists.recall,
        "queries": lists.queries,
        "faiss": faiss.__version__,
    }
    return write_index(path, about, lists.embeddings, small), len(lists.centroids)
