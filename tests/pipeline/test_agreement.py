"""Agreement of two sets of embeddings, against literal arithmetic; device and host compute the same."""

import itertools

import numpy as np
import pytest

from pipeline.data.samples import Index
from pipeline.retrieval.accuracy import retrieval_accuracy
from pipeline.retrieval.agreement import NEIGHBOURS, agreement, answer, identity_interval
from pipeline.retrieval.rerank import ReRanking
from pipeline.stages.measure import score
from pipeline.stages.reference import GALLERY, QUERY
from targets.bundles.retrieval import Labelled, quick_accuracy
from tests.pipeline.test_retrieval import samples

QUERIES, IMAGES, WIDTH = 30, 80, 8


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def labels():
    """Query and gallery; identity 9 is not in the gallery, so its queries do not count."""
    random = np.random.default_rng(0)
    query = samples(random.integers(0, 10, QUERIES), random.integers(0, 3, QUERIES))
    return query, samples(random.integers(0, 9, IMAGES), random.integers(0, 3, IMAGES))


@pytest.fixture(scope="module")
def exact(labels):
    """Embeddings around a centre per identity, which give mostly, but not always, correct answers."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(10, WIDTH))
    return tuple(unit(centres[s.identities] + 0.8 * random.normal(size=(len(s), WIDTH))) for s in labels)


def noisy(rows, size, seed):
    return unit(rows + size * np.random.default_rng(seed).normal(size=rows.shape))


def literal_precision(scores, identity, camera, gallery_of):
    """AP of one query, by walking down the ranking."""
    right, seen, total = 0, 0, []
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):
        if gallery_of.identities[place] == identity and gallery_of.cameras[place] == camera:
            continue
        seen += 1
        if gallery_of.identities[place] == identity:
            right += 1
            total.append(right / seen)
    return sum(total) / len(total) if total else None


def literal_precisions(query, gallery, query_of, gallery_of):
    rows = zip(query.astype(float), query_of.identities, query_of.cameras, strict=True)
    return [literal_precision(row @ gallery.astype(float).T, own, camera, gallery_of) for row, own, camera in rows]


@pytest.mark.parametrize("size", [0.05, 0.3, 1.5])
def test_equals_literal_arithmetic(exact, labels, size):
    other = tuple(noisy(rows, size, seed) for seed, rows in enumerate(exact, 2))
    found = agreement(answer(*exact, *labels), answer(*other, *labels))
    cosines = [float(a @ b) for a, b in zip(np.concatenate(exact), np.concatenate(other), strict=True)]
    assert found.min_cosine == pytest.approx(min(cosines), abs=1e-6)
    assert found.mean_cosine == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)
    nearest = [
        [{*np.argsort(-(q @ gallery.T), kind="stable")[:NEIGHBOURS].tolist()} for q in query]
        for query, gallery in (exact, other)
    ]
    shared = [len(a & b) / NEIGHBOURS for a, b in zip(*nearest, strict=True)]
    assert found.shared_neighbours == pytest.approx(100 * sum(shared) / QUERIES)
    before, after = (literal_precisions(*pair, *labels) for pair in (exact, other))
    drops = [100 * (a - b) for a, b in zip(before, after, strict=True) if a is not None]
    assert 0 < len(drops) < QUERIES
    mean = sum(drops) / len(drops)
    assert found.map_drop_points == pytest.approx(mean, abs=1e-6)
    assert found.largest_ap_drop_points == pytest.approx(max(drops), abs=1e-6)
    assert found.queries_worse == pytest.approx(100 * sum(drop > 1 for drop in drops) / len(drops))
    low, high = found.map_drop_interval
    assert low < mean < high


def test_the_drop_is_the_difference_of_both_map(exact, labels):
    other = tuple(noisy(rows, 0.5, seed) for seed, rows in enumerate(exact, 2))
    before, after = (retrieval_accuracy(*pair, *labels).map for pair in (exact, other))
    found = agreement(answer(*exact, *labels), answer(*other, *labels))
    assert found.map_drop_points == pytest.approx(before - after, abs=1e-6)
    assert found.map_drop_points > 1
    back = agreement(answer(*other, *labels), answer(*exact, *labels))
    assert back.map_drop_points == pytest.approx(-found.map_drop_points)


def test_embeddings_agree_with_themselves(exact, labels):
    found = agreement(answer(*exact, *labels), answer(*exact, *labels))
    assert (found.min_cosine, found.mean_cosine) == pytest.approx((1, 1), abs=1e-6)
    assert found.shared_neighbours == 100
    assert (found.map_drop_points, found.largest_ap_drop_points, found.queries_worse) == (0, 0, 0)
    assert found.map_drop_interval == (0, 0)


def test_the_answer_equals_retrieval_accuracy(exact, labels):
    found = answer(*exact, *labels)
    assert found.accuracy == retrieval_accuracy(*exact, *labels)
    assert np.isnan(found.precisions).sum() == found.accuracy.skipped > 0
    assert 100 * np.nanmean(found.precisions) == pytest.approx(found.accuracy.map)
    assert found.nearest.shape == (QUERIES, NEIGHBOURS)


def test_embeddings_that_are_not_finite_are_no_answers(exact, labels):
    """As after overflow in fp16: the figures stay finite, and fail any gate."""
    query, gallery = (rows.copy() for rows in exact)
    query[::2], gallery[:5] = np.nan, np.inf
    reference = answer(*exact, *labels)
    found = agreement(reference, answer(query, gallery, *labels))
    assert found.min_cosine <= 0
    assert found.mean_cosine < 0.9
    assert found.map_drop_points > 10
    nothing = agreement(reference, answer(query * np.nan, gallery * np.nan, *labels))
    assert nothing.mean_cosine <= 0
    assert nothing.map_drop_points > found.map_drop_points


def test_embeddings_that_are_not_finite_rank_last():
    """A cosine of zero would rank before all negative ones."""
    labels = samples([1], [0]), samples([1, 2, 3], [1, 1, 1])
    query, gallery = np.array([[1.0, 0]]), np.array([[np.nan, 0], [-1, 0.1], [-1, 0]])
    assert answer(query, gallery, *labels).precisions == pytest.approx([1 / 3])
    assert answer(query, np.abs(gallery[[1, 0, 2]]), *labels).precisions == pytest.approx([1 / 2])
    lost = answer(np.full((1, 2), np.inf), np.array([[1.0, 0], [0, 1], [0, 1]]), *labels)
    assert lost.precisions == pytest.approx([1 / 3])  # nothing was found, so its answer comes last


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(exact, labels, value):
    for place in (0, 1):
        rows = [part.copy() for part in exact]
        rows[place][3, 2] = value
        with pytest.raises(ValueError, match="can't be ranked"):
            retrieval_accuracy(*rows, *labels)


def test_scores_that_are_not_finite_are_refused_in_re_ranking(exact, labels, tmp_path):
    for name, rows in zip((QUERY, GALLERY), exact, strict=True):
        np.save(tmp_path / name, rows)
    data = Index(labels[0], *labels, "fingerprint")  # type: ignore[call-arg]
    broken = tuple(part * np.nan for part in exact)
    found = [answer(*parts, *labels) for parts in (exact, broken)]
    right, wrong = (score(one, data, ReRanking(k1=6, k2=3))[1].map for one in found)
    assert 0 <= wrong < right <= 100


def test_a_gallery_smaller_than_ten_is_shared_completely():
    query, gallery = unit(np.eye(3) + 0.1), unit(np.eye(4, 3) + 0.1)
    labels = samples([0, 1, 2], [0] * 3), samples([0, 1, 2, 0], [1] * 4)
    assert agreement(answer(query, gallery, *labels), answer(-query, gallery, *labels)).shared_neighbours == 100


def test_one_identity_has_no_interval():
    query, gallery = unit(np.array([[1.0, 0.1]])), unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    labels = samples([0], [0]), samples([0, 1], [1, 1])
    found = agreement(answer(query, gallery, *labels), answer(query[:, ::-1].copy(), gallery, *labels))
    assert found.map_drop_points == pytest.approx(50)
    assert found.map_drop_interval is None


@pytest.mark.slow
def test_the_interval_covers_the_drop_of_all_identities_nineteen_times_in_twenty():
    """Queries of an identity are correlated: the drop over all of them is the true value; samples are drawn."""
    random = np.random.default_rng(5)
    covered, as_if_apart = [], []
    for _ in range(100):
        sizes = random.integers(2, 12, 60)
        identities = np.repeat(np.arange(60), sizes)
        drops = random.normal(0.3, 1, 60)[identities] + random.normal(0, 0.3, len(identities))
        low, high = identity_interval(drops, identities)
        covered.append(low <= 0.3 <= high)
        low, high = identity_interval(drops, np.arange(len(drops)))
        as_if_apart.append(low <= 0.3 <= high)
    assert 0.9 < np.mean(covered) < 0.99
    assert np.mean(as_if_apart) < 0.75, "queries of an identity taken as independent claim too much"


def test_the_interval_is_deterministic_and_independent_of_order():
    random = np.random.default_rng(2)
    identities, drops = random.integers(0, 9, 50), random.normal(size=50)
    order = random.permutation(50)
    first = identity_interval(drops, identities)
    assert (
        first
        == identity_interval(drops, identities)
        == pytest.approx(identity_interval(drops[order], identities[order]))
    )


@pytest.mark.parametrize("seed", range(4))
def test_device_and_host_compute_the_same_accuracy(seed):
    """Random labels; embeddings of which many are equal in score, exactly, and one query that does not count."""
    random = np.random.default_rng(seed)
    corners = np.array(list(itertools.product([-0.5, 0.5], repeat=4)), np.float32)  # of length 1, exact products
    query, gallery = corners[random.integers(0, 16, 50)], corners[random.integers(0, 16, 150)]
    query_of = samples([*random.integers(0, 12, 49), 99], random.integers(0, 3, 50), random.integers(0, 30, 50))
    gallery_of = samples(random.integers(0, 12, 150), random.integers(0, 3, 150), random.integers(0, 30, 150))
    host = retrieval_accuracy(query, gallery, query_of, gallery_of)
    device = quick_accuracy(
        Labelled(query, query_of.identities, query_of.cameras, query_of.contents),
        Labelled(gallery, gallery_of.identities, gallery_of.cameras, gallery_of.contents),
    )
    assert host.skipped > 0
    assert device == pytest.approx((host.map, host.cmc1), abs=1e-6)


def test_device_and_host_compute_the_same_accuracy_without_ties(exact, labels):
    own = np.split(np.arange(QUERIES + IMAGES), [QUERIES])  # no image is a copy of another
    parts = [Labelled(rows, s.identities, s.cameras, o) for rows, s, o in zip(exact, labels, own, strict=True)]
    host = retrieval_accuracy(*exact, *labels)
    assert 0 < host.cmc1 < 100
    assert quick_accuracy(*parts) == pytest.approx((host.map, host.cmc1), abs=1e-6)
    broken = [rows.copy() for rows in exact]
    broken[0][::3], broken[1][:9] = np.nan, np.nan
    parts = [Labelled(rows, s.identities, s.cameras, o) for rows, s, o in zip(broken, labels, own, strict=True)]
    found = answer(*broken, *labels).accuracy
    assert found.map < host.map
    assert quick_accuracy(*parts) == pytest.approx((found.map, found.cmc1), abs=1e-6)
