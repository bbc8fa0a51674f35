"""What a consumer feeds."""

import numpy as np
import pytest

from tests.helpers import random_images
from zoo.errors import ExportError
from zoo.views.view import View

IMAGES = random_images(2)


def test_the_plain_view_is_what_releases_take():
    view = View()
    assert view.is_plain
    assert np.array_equal(view.feed(IMAGES), IMAGES)
    assert view.feed(IMAGES).dtype == np.uint8
    assert view.shape(24, 32) == (None, 24, 32, 3)


def test_the_other_views_are_fed_as_they_say():
    pixel = IMAGES[1, 5, 7].astype(np.float64)  # R, G, B
    fed = View("nchw", "float32", "1", "bgr").feed(IMAGES)
    assert fed.shape == (2, 3, 32, 32)
    assert fed.flags.c_contiguous
    np.testing.assert_allclose(fed[1, :, 5, 7], pixel[::-1] / 255, rtol=1e-6)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    fed = View("nhwc", "float32", "normalised", mean=mean, std=std).feed(IMAGES)
    np.testing.assert_allclose(fed[1, 5, 7], (pixel / 255 - mean) / std, rtol=1e-5)


@pytest.mark.parametrize("range_", ["255", "1", "normalised"])
def test_factors_and_summands_give_the_pixels_again(range_):
    view = View("nhwc", "float32", range_, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    factors, summands = view.to_pixels or (1.0, 0.0)
    np.testing.assert_allclose(view.feed(IMAGES) * factors + summands, IMAGES, atol=1e-3)


def test_a_fixed_batch_is_filled():
    fed = View(batch=4).feed(IMAGES)
    assert len(fed) == 4
    assert np.array_equal(fed[3], IMAGES[1])


def test_the_widest_means_and_deviations_lose_no_pixel():
    view = View("nhwc", "float32", "normalised", mean=(1000, -1000, 0), std=(0.001, 1000, 1))
    factors, summands = view.to_pixels or (1.0, 0.0)
    np.testing.assert_allclose(
        view.feed(IMAGES) * np.array(factors, np.float32) + np.array(summands, np.float32), IMAGES, atol=0.1
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"range": "1"}, "uint8 holds 0 … 255 only: --range 1 needs --dtype float32"),
        ({"batch": 0}, "a fixed batch must be 1 … 4096, not 0"),
        ({"dtype": "float32", "range": "normalised", "std": (1.0, 0.0, 1.0)}, "std three from 0.001 to 1000"),
        ({"dtype": "float32", "range": "normalised", "mean": (float("nan"), 0.0, 1.0)}, "three numbers from -1000"),
    ],
)
def test_what_can_not_be_fed_is_refused(parts, said):
    with pytest.raises(ExportError, match=said):
        View(**parts)
