"""How far embeddings may be apart."""

import numpy as np
import pytest

from zoo.emulated.agreement import Closeness, closeness, too_far


def rows(count=3, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, 8))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def compared(here, there):
    found = closeness(here, there)
    assert isinstance(found, Closeness)
    return found


def test_equal_embeddings_agree_in_every_precision():
    found = compared(rows(), rows())
    assert found == Closeness(3, 0.0, 1.0, 1.0)
    assert [too_far(found, precision) for precision in ("fp32", "fp16", "int8")] == ["", "", ""]


def test_the_largest_difference_decides_in_fp32_and_the_smallest_cosine_below():
    here, there = rows(), rows()
    there[1, 2] += 0.00011
    found = compared(here, there)
    assert too_far(found, "fp32") == "embeddings differ by up to 0.00011, at most 0.0001 expected"
    assert too_far(found, "int8") == ""
    there[1] = rows(seed=1)[1]
    found = compared(here, there)
    assert found.min_cosine < 0.9 < found.mean_cosine + 0.5
    assert "smallest cosine is" in too_far(found, "int8")
    assert "at least 0.999 expected" in too_far(found, "fp16")


def test_the_limits_are_those_of_the_documentation():
    assert too_far(Closeness(1, 1e-4, 0.5, 0.5), "fp32") == ""
    assert too_far(Closeness(1, 1.01e-4, 1.0, 1.0), "fp32")
    assert too_far(Closeness(1, 2.0, 0.999, 1.0), "int8") == ""
    assert too_far(Closeness(1, 0.0, 0.99899, 1.0), "fp16")


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (rows()[:2], "it returns float32 2×8, not float32 3×8"),
        (rows()[:, :4], "it returns float32 3×4, not float32 3×8"),
        (np.ones((3, 8), np.int64), "it returns int64 3×8, not float32 3×8"),
        (rows() * np.array([[1], [np.nan], [np.inf]], np.float32), "2 of 3 embeddings are not finite"),
        (rows() * np.array([[1], [0], [1]], np.float32), "an embedding is zero"),
    ],
)
def test_what_can_not_be_compared_says_why(there, why):
    assert closeness(rows(), there) == why
