"""Images that cover the embedding space."""

import numpy as np
import pytest

from calibration.samples import CANDIDATES, candidates, coverage, k_centre


@pytest.fixture(scope="module")
def crowd():
    """Unit embeddings: one cluster, and nine isolated points."""
    random = np.random.default_rng(0)
    centres = np.eye(10, 16)
    rows = np.concatenate([centres[0] + 0.1 * random.normal(size=(300, 16)), centres[1:]])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_isolated_points_are_selected(crowd):
    chosen = k_centre(crowd, 10)
    assert set(range(300, 309)) <= set(chosen)
    assert len(set(chosen)) == 10


def test_covers_better_than_random_at_equal_count(crowd):
    ours = coverage(crowd, k_centre(crowd, 20)).largest
    theirs = [coverage(crowd, np.random.default_rng(seed).permutation(309)[:20]).largest for seed in range(20)]
    assert ours < 0.7 * min(theirs)


def test_no_worse_than_twice_the_best(crowd):
    """Gonzalez's bound, against the best of all pairs."""
    few = crowd[290:309]
    best = min(coverage(few, np.array([a, b])).largest for a in range(19) for b in range(a))
    assert coverage(few, k_centre(few, 2)).largest <= 2 * best + 1e-6


def test_all_are_taken_if_there_are_too_few(crowd):
    assert sorted(k_centre(crowd[:5], 9)) == [0, 1, 2, 3, 4]
    same = np.tile(crowd[:1], (4, 1))
    assert sorted(k_centre(same, 3)) == sorted(set(k_centre(same, 3)))


def test_candidates_are_a_seeded_part_of_large_sets():
    some = candidates(10_000, 3)
    assert len(set(some)) == CANDIDATES
    assert np.array_equal(some, candidates(10_000, 3))
    assert np.array_equal(candidates(7, 0), np.arange(7))
