"""Stage `reference`: embeddings of test set and gate's split by the network in torch, the reference of artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.engine.work import Work
from pipeline.retrieval.agreement import Answered, answer

VERSION = 1
LIBRARIES = (*IMAGES, "torch", "timm")
BATCH = 64
QUERY, GALLERY, GATE = "query.npy", "gallery.npy", "gate.npy"


def embed_reference(work: Work, *, data: Index, input: Input, network: Path) -> None:
    """Write `query.npy`, `gallery.npy` and, where identities are held out, `gate.npy`: float32 N×D, rows of length 1.

    Args:
        network: folder of a stage that writes a network (`teacher` or `compact`).
    """
    from pipeline.data.images import read_batches
    from pipeline.networks.serialization import load_network
    from pipeline.retrieval.evaluate import embed_with

    embedder = load_network(network)
    for name, samples in ((QUERY, data.query), (GALLERY, data.gallery), *([(GATE, data.gate)] if data.gate else [])):
        rows = embed_with(embedder, read_batches(samples, input, BATCH), work.device)
        np.save(work.out / name, rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def read_reference(folder: Path, data: Index) -> Answered:
    """The reference's embeddings of the test set."""
    query, gallery = np.load(folder / QUERY), np.load(folder / GALLERY)
    return answer(query, gallery, data.query, data.gallery)


def read_gate_reference(folder: Path, data: Index) -> Answered:
    """The reference's embeddings of the split that decides gates (`Index.judged`)."""
    if data.gate is None:
        return read_reference(folder, data)
    rows = np.load(folder / GATE)
    return answer(rows, rows, *data.judged)
