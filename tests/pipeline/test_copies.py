"""Equal images: an error across training and test; a copy of a query does not count as an answer."""

import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.data.account import account_lines
from pipeline.data.images import Input, read_batches
from pipeline.errors import DataError
from pipeline.retrieval.accuracy import retrieval_accuracy
from tests.helpers import draw_vehicles
from tests.pipeline.test_accounts import find

SIZE = Input(height=16, width=16)


@pytest.fixture
def veri(tmp_path):
    return draw_vehicles(tmp_path / "veri")


@pytest.mark.parametrize("split", ["image_query", "image_test"])
def test_an_image_that_is_trained_and_tested_on(veri, tmp_path, split):
    first = min((veri / split).iterdir())
    shutil.copy(first, veri / "image_train" / "0000_c001_99999999_0.jpg")
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    same = f"{split}/{first.name} is the same file as image_train/0000_c001_99999999_0.jpg"
    assert f"uses images for both training and test, 1 in all (first: {same}): accuracy" in str(caught.value)


def noise(root, name, random):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(root / name)


def pixels(samples):
    rows = np.concatenate([*read_batches(samples, SIZE, 32)]).reshape(len(samples), -1)
    return rows - rows.mean(1, keepdims=True)


def test_copies_in_the_gallery_of_a_set_without_cameras(tmp_path):
    """Pixels of noise: every query finds its copy and nothing else."""
    random, root = np.random.default_rng(0), tmp_path / "veri"
    for identity in range(40):
        for shot in range(3):
            noise(root, f"gallery/{identity}_{shot}.png", random)
            noise(root, f"train/{100 + identity}_{shot}.png", random)
        (root / "query").mkdir(exist_ok=True)
        shutil.copy(root / f"gallery/{identity}_0.png", root / f"query/{identity}_copy.png")
    splits = {split: {"folder": split} for split in ("train", "query", "gallery")}
    index = find(tmp_path, cameras=False, pattern=r"/(?P<identity>\d+)_", **splits)
    assert index.accounts["gallery"].copies == 40
    assert account_lines(index.accounts)[2] == (
        "gallery: 120 images, 40 identities, no cameras; 40 are copies of a query and do not count"
    )
    found = retrieval_accuracy(pixels(index.query), pixels(index.gallery), index.query, index.gallery)
    assert found.cmc1 < 15
    assert found.queries == 40


def test_a_copy_from_another_camera_does_not_count(veri, tmp_path):
    before = find(tmp_path)
    (query,) = (veri / "image_query").glob("0009_c000_*")
    (other,) = (veri / "image_test").glob("0009_c001_*")
    other.write_bytes(query.read_bytes())
    with pytest.raises(DataError, match=r"query image_query/0009_c000_\S+ has no correct answer"):
        find(tmp_path)
    index = find(tmp_path, unanswerable="skip")
    assert (index.accounts["gallery"].copies, index.accounts["query"].unanswerable) == (1, 1)
    assert index.fingerprint != before.fingerprint


def test_one_image_as_query_and_in_the_gallery_is_no_copy(veri, tmp_path):
    """The same path, if each image queries all others."""
    index = find(tmp_path, query={"folder": "image_test"})
    assert index.accounts["gallery"].copies == 0
