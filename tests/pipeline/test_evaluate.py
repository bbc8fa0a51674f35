"""Retrieval metrics against a brute-force reference and by hand."""

import os
from pathlib import Path

import numpy as np
import pytest

import pipeline.evaluate
from pipeline.data.samples import Samples
from pipeline.evaluate import average_precision, retrieval_accuracy


def samples(identities, cameras):
    count = len(identities)
    return Samples(Path(), ("x.jpg",) * count, np.array(identities, np.int64), np.array(cameras, np.int64))


def brute_force(query, gallery, query_of, gallery_of):
    aps, inps, first = [], [], []
    for q in range(len(query)):
        scores = [float(query[q] @ g / np.linalg.norm(query[q]) / np.linalg.norm(g)) for g in gallery]
        order = sorted(range(len(gallery)), key=lambda g: -scores[g])
        same = [gallery_of.identities[g] == query_of.identities[q] for g in order]
        junk = [s and gallery_of.cameras[g] == query_of.cameras[q] for g, s in zip(order, same, strict=True)]
        hits = [s for s, j in zip(same, junk, strict=True) if not j]
        if not any(hits):
            continue
        ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
        aps.append(sum(n / rank for n, rank in enumerate(ranks, 1)) / len(ranks))
        inps.append(len(ranks) / ranks[-1])
        first.append(ranks[0])
    cmc = [100 * np.mean([rank <= k for rank in first]) for k in (1, 5, 10)]
    return [100 * np.mean(aps), *cmc, 100 * np.mean(inps)], len(first)


@pytest.mark.parametrize("block_bytes", [1, 24 * 60 * 7, 2**28])
def test_equals_brute_force_whatever_the_block_size(block_bytes, monkeypatch):
    monkeypatch.setattr(pipeline.evaluate, "BLOCK_BYTES", block_bytes)
    random = np.random.default_rng(0)
    query, gallery = random.normal(size=(25, 8)), random.normal(size=(60, 8))
    query_of = samples(random.integers(0, 9, 25), random.integers(0, 3, 25))
    gallery_of = samples(random.integers(0, 8, 60), random.integers(0, 3, 60))  # identity 8 is never there
    expected, counted = brute_force(query, gallery, query_of, gallery_of)
    found = retrieval_accuracy(query, gallery, query_of, gallery_of)
    assert [found.map, found.cmc1, found.cmc5, found.cmc10, found.minp] == pytest.approx(expected)
    assert (found.queries, found.skipped) == (counted, 25 - counted)
    assert found.skipped > 0


def test_own_camera_counts_neither_right_nor_wrong():
    query, gallery = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    found = retrieval_accuracy(query, gallery, samples([7], [1]), samples([7, 3, 7], [1, 2, 2]))
    # The exact copy is the query's own camera; a stranger stands first, the right answer second.
    assert (found.map, found.cmc1, found.cmc5) == (50, 0, 100)


def test_average_precision_by_hand():
    assert average_precision(np.array([1, 3])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([2, np.inf])) == 0.25


TREC = Path(os.environ.get("ZOO_TEST_DATA", "../shared/data")) / "trec_eval"


@pytest.mark.skipif(not TREC.is_dir(), reason="NIST trec_eval's test runs are not here (ZOO_TEST_DATA)")
def test_average_precision_is_trec_evals():
    relevant: dict[str, set[str]] = {}
    for line in (TREC / "qrels.test").read_text().splitlines():
        topic, _, document, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(topic, set()).add(document)
    runs: dict[str, list[tuple[float, str]]] = {}
    for line in (TREC / "results.test").read_text().splitlines():
        topic, _, document, _, score, _ = line.split()
        runs.setdefault(topic, []).append((float(score), document))
    found = []
    for topic, run in sorted(runs.items()):
        ranked = [document for _, document in sorted(run, reverse=True)]
        ranks = [n for n, document in enumerate(ranked, 1) if document in relevant[topic]]
        found.append(average_precision(np.array(ranks + [np.inf] * (len(relevant[topic]) - len(ranks)))))
    assert [round(value, 4) for value in found] == [0.0324, 0.4175, 0.0858]
    assert round(float(np.mean(found)), 4) == 0.1785
