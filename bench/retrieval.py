"""Cost of evaluating retrieval at scale: time, memory, and the ratio to sorting every row.

    python bench/retrieval.py                                  1 678 × 11 579 × 512, as large as VeRi-776's test split
    python bench/retrieval.py --queries 10000 --gallery 1000000 --dimensions 256

Embeddings are synthetic: identities are random directions, with images around them. The baseline sorts whole rows, as
retrieval code usually does; it is measured on a few queries in the same run and scaled.
"""

from __future__ import annotations

import argparse
import resource
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from bench.figures import write_figures
from pipeline.data.samples import Samples
from pipeline.retrieval.accuracy import BLOCK_BYTES, retrieval_accuracy
from targets.machine.device import this_device

CAMERAS = 20


def split(random: np.random.Generator, centres: np.ndarray, count: int) -> tuple[np.ndarray, Samples]:
    """Embeddings and their labels, drawn in parts so that drawing needs no more memory than they do."""
    identities = random.integers(0, len(centres), count)
    rows = np.empty((count, centres.shape[1]), np.float32)
    for start in range(0, count, 10_000):
        some = identities[start : start + 10_000]
        noise = random.standard_normal((len(some), centres.shape[1]), dtype=np.float32)
        rows[start : start + len(some)] = centres[some] + 1.6 * noise
    return rows, Samples(Path(), ("",) * count, identities, random.integers(0, CAMERAS, count))


def first(samples: Samples, count: int) -> Samples:
    """The first images of a split."""
    return Samples(samples.root, samples.paths[:count], samples.identities[:count], samples.cameras[:count])


def sorting_seconds(query: np.ndarray, gallery: np.ndarray, device: str) -> float:
    """Time to score and sort all rows of a few queries."""
    q, g = torch.from_numpy(query).to(device), torch.from_numpy(gallery).to(device)
    begun = time.perf_counter()
    (q @ g.T).argsort(dim=1, descending=True, stable=True)[:, 0].cpu()
    return time.perf_counter() - begun


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, print a table, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1678)
    parser.add_argument("--gallery", type=int, default=11_579)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--sorted-queries", type=int, default=32, help="queries of the baseline")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    random = np.random.default_rng(0)
    centres = random.standard_normal((max(200, options.gallery // 60), options.dimensions), dtype=np.float32)
    gallery, gallery_of = split(random, centres, options.gallery)
    query, query_of = split(random, centres, options.queries)
    retrieval_accuracy(query[:2], gallery[:100], first(query_of, 2), first(gallery_of, 100), device)
    before = peak_mib()
    begun = time.perf_counter()
    accuracy = retrieval_accuracy(query, gallery, query_of, gallery_of, device)
    seconds = time.perf_counter() - begun
    extra = peak_mib() - before
    few = min(options.sorted_queries, options.queries)
    baseline = sorting_seconds(query[:few], gallery, device) * options.queries / few

    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {version('torch')}")
    print(f"{options.queries} queries × {options.gallery} gallery × {options.dimensions}: mAP {accuracy.map:.2f} %")
    print(f"{'':40}{'s':>9}{'ratio':>8}{'MiB':>8}")
    print(f"{f'sorting all rows (scaled from {few})':40}{baseline:9.1f}{1:8.2f}{'':>8}")
    print(f"{'retrieval_accuracy':40}{seconds:9.1f}{baseline / seconds:8.2f}{extra:8.0f}")
    bound = 2 * max(BLOCK_BYTES, 4 * options.gallery) + 24 * options.gallery
    print(f"memory besides the embeddings, by design about {bound / 2**20:.0f} MiB")
    figures = {
        "seconds": seconds,
        "baseline_seconds": baseline,
        "extra_mib": extra,
        "map": accuracy.map,
    }
    write_figures(options, figures)


if __name__ == "__main__":
    main()
