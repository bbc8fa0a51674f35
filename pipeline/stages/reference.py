"""Stage `reference`: the test set as the network in torch embeds it, which every artifact is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.retrieval.agreement import Answered, answer
from pipeline.work import Work

VERSION = 1
LIBRARIES = (*IMAGES, "torch", "timm")
BATCH = 64
QUERY, GALLERY = "query.npy", "gallery.npy"


def embed_reference(work: Work, *, data: Index, input: Input, network: Path) -> None:
    """Write `query.npy` and `gallery.npy`: float32 N×D, rows of length 1.

    Args:
        network: folder of a stage that ends in a network (`teacher` or `compact`).
    """
    from pipeline.data.images import read_batches
    from pipeline.networks.saved import load_network
    from pipeline.retrieval.evaluate import embed_with

    embedder = load_network(network)
    for name, samples in ((QUERY, data.query), (GALLERY, data.gallery)):
        rows = embed_with(embedder, read_batches(samples, input, BATCH), work.device)
        np.save(work.out / name, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def read_reference(folder: Path, data: Index) -> Answered:
    """What the reference answers."""
    query, gallery = np.load(folder / QUERY), np.load(folder / GALLERY)
    return answer(query, gallery, data.query, data.gallery)
