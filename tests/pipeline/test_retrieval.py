"""Retrieval metrics against a brute-force reference and by hand."""

from pathlib import Path

import numpy as np
import pytest

import pipeline.retrieval.accuracy
from pipeline.data.samples import Samples
from pipeline.errors import DataError
from pipeline.retrieval.accuracy import average_precision, retrieval_accuracy
from pipeline.retrieval.agreement import answer
from pipeline.retrieval.rerank import ReRanking, reranked_accuracy, reranked_blocks
from targets.bundles.retrieval import Labelled, quick_accuracy
from targets.errors import BadBundle
from tests.helpers import REAL_DATA


def samples(identities, cameras, contents=None):
    labels = [None if one is None else np.array(one, np.int64) for one in (identities, cameras, contents)]
    return Samples(Path(), ("x.jpg",) * len(identities), *labels)


def is_copy(gallery_of, g, query_of, q):
    known = gallery_of.contents is not None and query_of.contents is not None
    return known and gallery_of.contents[g] == query_of.contents[q]


def brute_force(query, gallery, query_of, gallery_of):
    aps, inps, first = [], [], []
    for q in range(len(query)):
        scores = [float(query[q] @ g / np.linalg.norm(query[q]) / np.linalg.norm(g)) for g in gallery]
        order = sorted(range(len(gallery)), key=lambda g: -scores[g])
        same = [gallery_of.identities[g] == query_of.identities[q] for g in order]
        junk = [
            s and (gallery_of.cameras[g] == query_of.cameras[q] or is_copy(gallery_of, g, query_of, q))
            for g, s in zip(order, same, strict=True)
        ]
        hits = [s for s, j in zip(same, junk, strict=True) if not j]
        if not any(hits):
            continue
        ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
        aps.append(sum(n / rank for n, rank in enumerate(ranks, 1)) / len(ranks))
        inps.append(len(ranks) / ranks[-1])
        first.append(ranks[0])
    cmc = [100 * np.mean([rank <= k for rank in first]) for k in (1, 5, 10)]
    return [100 * np.mean(aps), *cmc, 100 * np.mean(inps)], len(first)


@pytest.mark.parametrize("block_bytes", [1, 4 * 60 * 7, 2**28])
def test_equals_brute_force_whatever_the_block_size(block_bytes, monkeypatch):
    monkeypatch.setattr(pipeline.retrieval.accuracy, "BLOCK_BYTES", block_bytes)
    random = np.random.default_rng(0)
    query, gallery = random.normal(size=(25, 8)), random.normal(size=(60, 8))
    query_of = samples(random.integers(0, 9, 25), random.integers(0, 3, 25), random.integers(0, 20, 25))
    gallery_of = samples(  # identity 8 is never there, and some images are copies of queries
        random.integers(0, 8, 60), random.integers(0, 3, 60), random.integers(0, 20, 60)
    )
    expected, counted = brute_force(query, gallery, query_of, gallery_of)
    found = retrieval_accuracy(query, gallery, query_of, gallery_of)
    assert [found.map, found.cmc1, found.cmc5, found.cmc10, found.minp] == pytest.approx(expected)
    assert (found.queries, found.skipped) == (counted, 25 - counted)
    assert found.skipped > 0


def test_a_copy_of_a_query_does_not_count_as_its_answer():
    """Noise in which every query finds its own copy first, and nothing else by more than chance."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 16))
    identities, own = np.arange(60) // 3, np.arange(60)
    query_of = samples(identities, own, own)  # of a set without cameras: each image is its own
    copies = samples([*identities, *identities], [*own, *(own + 60)], [*own, *own])
    found = retrieval_accuracy(rows, np.concatenate([rows, rows]), query_of, copies)
    without = retrieval_accuracy(
        rows, np.concatenate([rows, rows]), query_of, samples(copies.identities, copies.cameras)
    )
    assert without.cmc1 == 100
    assert found.cmc1 < 30


@pytest.mark.parametrize("block_bytes", [1, 2**28])
def test_ties_keep_the_gallerys_order(block_bytes, monkeypatch):
    monkeypatch.setattr(pipeline.retrieval.accuracy, "BLOCK_BYTES", block_bytes)
    random = np.random.default_rng(1)
    query, gallery = random.choice([-1.0, 1.0], (40, 4)), random.choice([-1.0, 1.0], (90, 4))  # exact, and often equal
    query_of = samples(random.integers(0, 12, 40), random.integers(0, 3, 40))
    gallery_of = samples(random.integers(0, 12, 90), random.integers(0, 3, 90))
    expected, _ = brute_force(query, gallery, query_of, gallery_of)
    found = retrieval_accuracy(query, gallery, query_of, gallery_of)
    assert [found.map, found.cmc1, found.cmc5, found.cmc10, found.minp] == pytest.approx(expected)


def literal_reranking(query, gallery, k1, k2, weight):
    """Zhong et al. step by step, with full matrices and sets."""
    rows = np.concatenate([query, gallery])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    distance = 2 - 2 * rows @ rows.T
    distance = distance / distance.max(1, keepdims=True)
    order = np.argsort(distance, axis=1)
    count = len(rows)

    def reciprocal(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    encoding = np.zeros((count, count))
    for i in range(count):
        mine = reciprocal(i, k1)
        grown = set(mine)
        for j in mine:
            near = reciprocal(j, round(k1 / 2))
            if len(near & mine) > 2 / 3 * len(near):
                grown |= near
        for j in grown:
            encoding[i, j] = np.exp(-distance[i, j])
        encoding[i] /= encoding[i].sum()
    encoding = np.stack([encoding[order[i, :k2]].mean(0) for i in range(count)])
    final = np.zeros((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            shared = np.minimum(encoding[q], encoding[len(query) + g]).sum()
            jaccard = 1 - shared / (2 - shared)
            final[q, g] = (1 - weight) * jaccard + weight * distance[q, len(query) + g]
    return final


@pytest.mark.parametrize(("k1", "k2", "weight"), [(6, 3, 0.3), (9, 1, 0.0), (4, 6, 0.7), (200, 10, 0.3)])
def test_reranking_is_the_papers(k1, k2, weight, monkeypatch):
    monkeypatch.setattr(pipeline.retrieval.accuracy, "BLOCK_BYTES", 4 * 60 * 4)
    random = np.random.default_rng(2)
    centres = random.normal(size=(10, 8))
    query = np.repeat(centres, 2, 0) + 0.4 * random.normal(size=(20, 8))
    gallery = np.repeat(centres, 6, 0) + 0.4 * random.normal(size=(60, 8))
    expected = literal_reranking(query, gallery, k1, k2, weight)
    settings = ReRanking(k1=k1, k2=k2, weight=weight)
    found = np.concatenate([scores.numpy() for _, scores in reranked_blocks(query, gallery, settings, "cpu")])
    assert np.allclose(-found, expected, atol=2e-5)


def test_reranking_is_labelled_and_helps_where_neighbours_agree():
    random = np.random.default_rng(3)
    centres = random.normal(size=(10, 8))
    query = np.repeat(centres, 2, 0) + 0.9 * random.normal(size=(20, 8))
    gallery = np.repeat(centres, 6, 0) + 0.9 * random.normal(size=(60, 8))
    labels = samples(np.repeat(np.arange(10), 2), [0] * 20), samples(np.repeat(np.arange(10), 6), [1] * 60)
    plain = retrieval_accuracy(query, gallery, *labels)
    again = reranked_accuracy(query, gallery, *labels, ReRanking(k1=6, k2=3))
    assert "no re-ranking" in plain.protocol
    assert again.protocol.startswith("k-reciprocal re-ranking (k1 6, k2 3, λ 0.3)")
    assert again.map > plain.map + 1


def test_own_camera_counts_neither_right_nor_wrong():
    query, gallery = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    found = retrieval_accuracy(query, gallery, samples([7], [1]), samples([7, 3, 7], [1, 2, 2]))
    # The exact copy is from the query's own camera; a wrong image ranks first, the correct answer second.
    assert (found.map, found.cmc1, found.cmc5) == (50, 0, 100)


def figures(query, gallery, query_of, gallery_of):
    """Everything that counts: plain, re-ranked, beside a reference, and on a device."""
    yield lambda: retrieval_accuracy(query, gallery, query_of, gallery_of)
    yield lambda: reranked_accuracy(query, gallery, query_of, gallery_of, ReRanking(k1=2, k2=1))
    yield lambda: answer(query, gallery, query_of, gallery_of)
    sides = [(query, query_of), (gallery, gallery_of)]
    one, other = (Labelled(rows, of.identities, of.cameras, np.arange(len(rows))) for rows, of in sides)
    yield lambda: quick_accuracy(one, other)


@pytest.mark.parametrize(
    ("query_of", "gallery_of"),
    [
        (samples([1, 2], [0, 0]), samples([3, 4, 5], [1, 1, 1])),  # other identities
        (samples([1, 2], [0, 1]), samples([1, 2, 2], [0, 1, 1])),  # under the same camera only
        (samples([], []), samples([1], [0])),
        (samples([1], [0]), samples([], [])),
    ],
)
def test_a_test_set_without_queries_that_count_is_refused(query_of, gallery_of):
    random = np.random.default_rng(0)
    query, gallery = (random.normal(size=(len(of), 4)).astype(np.float32) for of in (query_of, gallery_of))
    for figure in figures(query, gallery, query_of, gallery_of):
        with pytest.raises(
            (DataError, BadBundle), match=rf"none of {len(query)} queries .* {len(gallery)} gallery images"
        ):
            figure()


def test_average_precision_by_hand():
    assert average_precision(np.array([1, 3])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([2, np.inf])) == 0.25


TREC = REAL_DATA / "trec_eval"


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
