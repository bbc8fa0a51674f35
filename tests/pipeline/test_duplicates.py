"""Duplicate images: which pairs are found, and how they are counted."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import pipeline.data.duplicates
from pipeline.data.duplicates import HASH_BITS, NEAR_BITS, Item, Look, exact_duplicates, look_at, near_duplicates
from pipeline.engine.progress import Silent
from pipeline.errors import DataError, MissingLibrary


def drawing(seed):
    """A picture of large shapes, as photographs have, 120×90."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    return coarse.resize((120, 90), Image.Resampling.BICUBIC)


def compressed(image, quality=60):
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def items(*rows):
    return [Item(path, identity, trained) for path, identity, trained in rows]


def test_equal_files_are_counted_by_pairs():
    some = items(("a", "1", True), ("b", "1", True), ("c", "2", False), ("d", "3", False), ("e", "3", False))
    found = exact_duplicates(some, {"a": "x", "b": "x", "c": "x", "d": "y", "e": "z"})
    assert (found.pairs, found.other_identity, found.train_test) == (3, 2, 2)
    assert [(pair.one, pair.other, pair.bits) for pair in found.examples] == [
        ("c", "a", 0),
        ("c", "b", 0),
        ("a", "b", 0),
    ]
    none = exact_duplicates(some, {path: path for path in "abcde"})
    assert (none.pairs, none.examples) == (0, ())


def test_copies_are_near_duplicates_and_other_pictures_are_not(tmp_path):
    originals = [drawing(seed) for seed in range(12)]
    for number, image in enumerate(originals):
        image.save(tmp_path / f"{number}.png")
    base = originals[0]
    for name, image in (
        ("small", base.resize((60, 45))),
        ("again", compressed(base)),
        ("bright", ImageEnhance.Brightness(base).enhance(1.1)),
    ):
        image.save(tmp_path / f"{name}.png")
    paths = sorted(path.name for path in tmp_path.iterdir())
    looks = look_at(tmp_path, paths, Silent())
    assert (looks["0.png"].width, looks["0.png"].height) == (120, 90)
    found = near_duplicates(items(*((path, path[0], path[0] > "5") for path in paths)), looks)
    assert found.pairs == 6
    assert {name for pair in found.examples for name in (pair.one, pair.other)} <= {
        "0.png", "small.png", "again.png", "bright.png",
    }  # fmt: skip


@pytest.mark.parametrize("block_bytes", [1, 2**20])
def test_near_pairs_are_those_of_a_comparison_one_by_one(block_bytes, monkeypatch):
    monkeypatch.setattr(pipeline.data.duplicates, "BLOCK_BYTES", block_bytes)
    random = np.random.default_rng(0)
    centres = random.random((4, HASH_BITS)) < 0.5
    some, looks = [], {}
    for number in range(40):
        flipped = random.random(HASH_BITS) < 0.04
        path = f"{number:02}"
        some.append(Item(path, str(random.integers(3)), bool(random.integers(2))))
        looks[path] = Look(1, 1, centres[number % 4] ^ flipped)
    near = [
        (one, other, bits)
        for one, other in itertools.combinations(some, 2)
        if (bits := int((looks[one.path].bits != looks[other.path].bits).sum())) <= NEAR_BITS
    ]
    found = near_duplicates(some, looks)
    assert 0 < len(near) < 40 * 39 / 2
    assert found.pairs == len(near)
    assert found.other_identity == sum(one.identity != other.identity for one, other, _ in near)
    assert found.train_test == sum(one.trained != other.trained for one, other, _ in near)
    worst = min(
        ((one.trained == other.trained, one.identity == other.identity, bits) for one, other, bits in near),
    )
    by_path = {item.path: item for item in some}
    one, other = (by_path[path] for path in (found.examples[0].one, found.examples[0].other))
    assert (one.trained == other.trained, one.identity == other.identity, found.examples[0].bits) == worst


def test_unreadable_images_are_reported(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="can't decode image a.png: the file is empty"):
        look_at(tmp_path, ["a.png"], Silent())
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    with pytest.raises(MissingLibrary, match=r"imagehash is not installed. Run: .*build"):
        look_at(tmp_path, ["a.png"], Silent())
