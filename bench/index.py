"""Cost of an index, and what it finds: recall@1 against comparing all images, time to build and search, memory, disk.

    python bench/index.py                                     10 000, 100 000 and 1 000 000 images of 256 components
    python bench/index.py --images 10000 100000 --hnsw        also faiss's HNSW, which takes long to build

Embeddings are synthetic: identities are random directions, with images around them, and queries are further images.
Their nearest image is found by comparing all. Each row of the table is measured in a process of its own: the memory is
that process's peak less what it had before, with the embeddings that it was given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.progress import Silent
from targets.machine.device import this_device, usable_cores
from zoo.use.gallery import Gallery
from zoo.use.unchanged import File

BLOCK = 50_000  # rows that are drawn at once
# Of HNSW: neighbours of an image, candidates while it is built (faiss's default), and while it is searched
DEGREE, BUILT, SEARCHED = 32, 40, 64


@dataclass(frozen=True)
class Row:
    """One way to search.

    Attributes:
        seconds: to build, without drawing.
        query_ms: median of single queries, once the index is loaded.
        first_ms: from the file to the answer of a first query.
        recall: queries whose nearest image was found, %.
        build_mib, search_mib: memory while building and while searching.
        disk_mib: size of the file.
    """

    way: str
    images: int
    seconds: float
    query_ms: float
    first_ms: float
    recall: float
    build_mib: float
    search_mib: float
    disk_mib: float
    about: str = ""


@dataclass(frozen=True)
class Case:
    """What is searched: so many images of so many components, and how the rows are drawn."""

    images: int
    dimension: int
    queries: int
    noise: float
    wanted: float

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Gallery N×D and queries Q×D, float32, rows of length 1."""
        random = np.random.default_rng(0)
        centres = random.standard_normal((max(200, self.images // 20), self.dimension), dtype=np.float32)
        rows = np.empty((self.images, self.dimension), np.float32)
        for start in range(0, self.images, BLOCK):
            rows[start : start + BLOCK] = self._some(random, centres, min(BLOCK, self.images - start))
        return rows, self._some(random, centres, self.queries)

    def _some(self, random: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
        rows = centres[random.integers(0, len(centres), count)]
        rows += self.noise * random.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exact(case: Case, _folder: Path) -> Row:
    """Comparing all, as `zoo query --gallery` does."""
    before = peak_mib()
    rows, queries = case.draw()
    times = [_timed(lambda query=query: (rows @ query).argmax())[0] for query in queries[:50]]
    search = peak_mib() - before
    return Row("all", case.images, 0.0, 1000 * float(np.median(times)), 0.0, 100.0, 0.0, search, rows.nbytes / 2**20)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    done = work()
    return time.perf_counter() - begun, done


def build_lists(case: Case, folder: Path) -> tuple[float, float, str]:
    """`zoo index`: seconds, memory, and what it is."""
    from zoo.use.index_build import build_index

    before = peak_mib()
    rows, _ = case.draw()
    names = tuple(f"{number // 1000:05}/{number:08}.jpg" for number in range(case.images))
    files = tuple(File(number, number, f"{number:064x}") for number in range(case.images))
    gallery = Gallery(names, files, rows, "big@1.0.0", "openvino-cpu", "int8", "a" * 64, Path("/nowhere"))
    seconds, (about, lists) = _timed(lambda: build_index(folder / "x.index", gallery, case.wanted, Silent()))
    told = f"{about.probe} of {lists} lists, {about.recall:.1f} % on its own images"
    return seconds, peak_mib() - before, told


def search_lists(_case: Case, folder: Path) -> tuple[list[int], float, float, float]:
    """`zoo query --index`: the nearest image of each query, first and median milliseconds, memory."""
    from zoo.use.index import open_index

    queries = np.load(folder / "queries.npy")
    before = peak_mib()
    first, index = _timed(lambda: _opened(open_index(folder / "x.index"), queries[0]))
    search = peak_mib() - before
    answers = [_timed(lambda query=query: index.nearest(query, 1)) for query in queries]
    found = [int(index.path(int(places[0]))[-12:-4]) for _, (places, _) in answers]
    return found, 1000 * first, 1000 * float(np.median([seconds for seconds, _ in answers])), search


def _opened(index: Any, query: np.ndarray) -> Any:
    index.nearest(query, 1)
    return index


def build_graph(case: Case, folder: Path) -> tuple[float, float, str]:
    """faiss's HNSW with whole vectors, in faiss's own file."""
    import faiss

    before = peak_mib()
    rows, _ = case.draw()
    index = faiss.IndexHNSWFlat(case.dimension, DEGREE, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILT
    seconds, _ = _timed(lambda: index.add(rows))
    faiss.write_index(index, str(folder / "x.index"))
    return seconds, peak_mib() - before, f"{DEGREE} neighbours, {SEARCHED} candidates"


def search_graph(_case: Case, folder: Path) -> tuple[list[int], float, float, float]:
    """See `search_lists`."""
    import faiss

    queries = np.load(folder / "queries.npy")
    before = peak_mib()

    def opened() -> Any:
        index = faiss.read_index(str(folder / "x.index"))
        index.hnsw.efSearch = SEARCHED
        index.search(queries[:1], 1)
        return index

    first, index = _timed(opened)
    answers = [_timed(lambda query=query: index.search(query[None], 1)) for query in queries]
    found = [int(places[0, 0]) for _, (_, places) in answers]
    return found, 1000 * first, 1000 * float(np.median([seconds for seconds, _ in answers])), peak_mib() - before


def truth(case: Case, folder: Path) -> list[int]:
    """The nearest image of each query; keeps the queries in a file."""
    import faiss

    rows, queries = case.draw()
    np.save(folder / "queries.npy", queries)
    _, places = faiss.knn(queries, rows, 1, metric=faiss.METRIC_INNER_PRODUCT)
    nearest: list[int] = places[:, 0].tolist()
    return nearest


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a process of its own, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


WAYS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "zoo index": (build_lists, search_lists),
    "HNSW": (build_graph, search_graph),
}


def measure(way: str, case: Case, folder: Path, nearest: list[int]) -> Row:
    """Build and search one way."""
    build, search = WAYS[way]
    seconds, build_mib, about = apart(build, case, folder)
    found, first, median, search_mib = apart(search, case, folder)
    recall = 100 * float(np.mean(np.array(found) == np.array(nearest)))
    disk = (folder / "x.index").stat().st_size / 2**20
    return Row(way, case.images, seconds, median, first, recall, build_mib, search_mib, disk, about)


def main() -> None:
    """Measure, print a table, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=1.0, help="of an image, where directions of identities have 1")
    parser.add_argument("--recall", type=float, default=99.0, help="what zoo index is asked for, %%")
    parser.add_argument("--hnsw", action="store_true", help="also faiss's HNSW")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    print(f"{this_device().name}, {usable_cores()} cores, faiss {version('faiss-cpu')}, {options.dimension} components")
    print(
        f"{'images':>9}  {'':10}{'build s':>9}{'MiB':>7}{'file MiB':>10}{'first ms':>10}{'query ms':>10}{'MiB':>7}"
        f"{'recall@1':>10}"
    )
    rows = []
    for images in options.images:
        case = Case(images, options.dimension, options.queries, options.noise, options.recall / 100)
        with tempfile.TemporaryDirectory(prefix="zoo-bench-") as scratch:
            nearest = apart(truth, case, Path(scratch))
            ways = ["zoo index", *(["HNSW"] if options.hnsw else [])]
            of_case = [apart(exact, case, Path(scratch)), *(measure(one, case, Path(scratch), nearest) for one in ways)]
        for row in of_case:
            print(
                f"{row.images:9}  {row.way:10}{row.seconds:9.1f}{row.build_mib:7.0f}{row.disk_mib:10.0f}"
                f"{row.first_ms:10.1f}{row.query_ms:10.2f}{row.search_mib:7.0f}{row.recall:9.1f}%  {row.about}"
            )
        rows += of_case
    if options.json:
        from bench.figures import write_figures

        write_figures(options, {"rows": [asdict(row) for row in rows]})


if __name__ == "__main__":
    main()
