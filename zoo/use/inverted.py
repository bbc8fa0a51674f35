"""An inverted file (IVF): embeddings in lists around centroids, of which a query searches the nearest few.

J. Sivic, A. Zisserman, "Video Google", ICCV 2003; the search is that of faiss (`IndexIVFFlat`). Embeddings are not
quantised: within the lists that are searched, the answer is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from targets.machine.device import usable_cores

RowsOf = Callable[[int], np.ndarray]


def use_cores() -> None:
    """Let faiss use the cores that this process may keep busy, or fewer if OMP_NUM_THREADS says so."""
    import faiss

    faiss.omp_set_num_threads(min(faiss.omp_get_max_threads(), usable_cores()))


class InvertedFile:
    """Lists, loaded when they are first searched. Several threads may search.

    Args:
        centroids: float32 L×D, of length 1.
        starts: int64 L+1; list i has the rows from starts[i] to starts[i + 1].
        rows_of: the embeddings of a list, float32, of length 1.
    """

    def __init__(self, centroids: np.ndarray, starts: np.ndarray, rows_of: RowsOf) -> None:
        import faiss

        use_cores()
        lists, dimension = centroids.shape
        self.lists, self._starts, self._rows_of = lists, starts, rows_of
        self._quantizer = faiss.IndexFlatIP(dimension)
        self._quantizer.add(np.ascontiguousarray(centroids))
        self._index: Any = faiss.IndexIVFFlat(self._quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True
        self._loaded = np.zeros(lists, bool)
        self._lock = Lock()

    def search(self, queries: np.ndarray, count: int, probe: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows nearest to each query, among the lists whose centroids are nearest to it.

        Args:
            queries: float32 Q×D, of length 1.
            probe: lists to search; more if they have fewer than `count` rows.

        Returns:
            places int64 and cosine similarities float32, both Q×K, nearest first; K is `count`, or the number of rows
            if there are fewer.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        sizes, count = np.diff(self._starts), min(count, int(self._starts[-1]))
        with self._lock:
            while True:
                similarities, nearest = self._quantizer.search(queries, min(probe, self.lists))
                if probe >= self.lists or sizes[nearest].sum(1).min() >= count:
                    break
                probe *= 2
            self._load(np.unique(nearest))
            self._index.nprobe = nearest.shape[1]
            found, places = self._index.search_preassigned(queries, count, nearest, similarities)
        return places, np.clip(found, -1, 1)

    def _load(self, wanted: np.ndarray) -> None:
        import faiss

        for number in wanted[~self._loaded[wanted]].tolist():
            start, end = map(int, self._starts[number : number + 2])
            if end > start:
                rows, ids = np.ascontiguousarray(self._rows_of(number)), np.arange(start, end, dtype=np.int64)
                codes = rows.view(np.uint8)  # kept alive by `rows` until they are copied
                self._index.invlists.add_entries(number, end - start, faiss.swig_ptr(ids), faiss.swig_ptr(codes))
                self._index.ntotal += end - start
            self._loaded[number] = True
