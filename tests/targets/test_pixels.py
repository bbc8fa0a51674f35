"""Packed images are restored exactly, and compress better."""

import zlib

import numpy as np
import pytest

from targets.bundles.pixels import pack, unpack


@pytest.mark.parametrize("shape", [(3, 8, 5, 3), (1, 1, 1, 3), (2, 1, 7, 3), (2, 7, 1, 3), (0, 4, 4, 3)])
def test_nothing_is_lost(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = images.copy()
    packed = pack(images)
    assert packed.dtype == np.uint8
    assert packed.shape == (shape[0], 3, *shape[1:3])
    assert np.array_equal(unpack(packed), before)
    assert np.array_equal(images, before)  # the input is not modified


def test_smooth_images_compress_well():
    y, x = np.mgrid[:64, :64]
    noise = np.random.default_rng(0).integers(0, 4, (64, 64))
    grey = (128 + 60 * np.sin(x / 9) * np.cos(y / 7) + noise).astype(np.uint8)
    images = np.stack([grey, grey + 5, grey + 9], -1)[None]
    assert len(zlib.compress(pack(images).tobytes())) < 0.5 * len(zlib.compress(images.tobytes()))
