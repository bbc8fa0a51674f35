"""Files of every kind, embedded and searched: the displayed pixels are compared."""

import numpy as np
import pytest
from PIL import Image

from pipeline.progress import Silent
from tests.kinds import draw_kinds, draw_refused, turned
from zoo.use.gallery import embed_folder
from zoo.use.query import find_nearest


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return draw_kinds(tmp_path_factory.mktemp("kinds"))


def test_the_network_gets_the_displayed_pixels_of_every_kind(model, kinds):
    for one in kinds.values():
        with Image.open(one.path) as picture:
            for given in (one.path, str(one.path), picture):
                off = np.abs(model.read(given).astype(int) - one.shown).max()
                assert off <= one.rounding, one.path.name


def test_embeddings_are_those_of_the_displayed_pixels(model, kinds):
    exact = [one for one in kinds.values() if not one.rounding]
    shown = model.embed(np.stack([one.shown for one in exact]))
    np.testing.assert_array_equal(model.embed([one.path for one in exact]), shown)


def test_a_folder_is_embedded_by_its_displayed_pixels(model, kinds):
    gallery = embed_folder(model, next(iter(kinds.values())).path.parent, 8, Silent())
    assert not gallery.skipped
    exact = [
        (path, row) for path, row in zip(gallery.paths, gallery.embeddings, strict=True) if not kinds[path].rounding
    ]
    assert len(exact) > 60
    shown = model.embed(np.stack([kinds[path].shown for path, _ in exact]))
    np.testing.assert_allclose(np.stack([row for _, row in exact]), shown, atol=1e-5)


def test_a_photo_finds_its_upright_self(model, tmp_path):
    """24 photos by a phone held in all orientations: the nearest of each is the one with upright pixels."""
    random = np.random.default_rng(0)
    (tmp_path / "upright").mkdir()
    for number in range(24):
        blocks = random.integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        orientation = number % 8 + 1
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(blocks).save(tmp_path / f"{number:02}.png", exif=exif)
        Image.fromarray(turned(blocks, orientation)).save(tmp_path / "upright" / f"{number:02}.png")
    gallery = embed_folder(model, tmp_path / "upright", 8, Silent())
    photos = model.embed([tmp_path / path for path in gallery.paths])
    assert [int(gallery.nearest(row)[0][0]) for row in photos] == list(range(24))


def test_query_and_gallery_are_read_in_the_same_way(model, kinds):
    folder = kinds["rgb.png"].path.parent
    for name in ("turned-6.jpg", "turned-5.webp", "alpha.png", "wide-big.tif", "clear-colour.gif"):
        answer = find_nearest(folder / name, folder, 90, "tiny", model.target, Silent())
        nearest = {one.name: one.similarity for one in answer.nearest}
        assert nearest[name] == pytest.approx(1, abs=1e-5)
        assert answer.nearest[0].similarity == pytest.approx(1, abs=1e-5)


def test_images_without_a_defined_range_are_skipped_with_a_message(model, tmp_path):
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "good.png")
    draw_refused(tmp_path)
    gallery = embed_folder(model, tmp_path, 8, Silent())
    assert gallery.paths == ("good.png",)
    assert [one.path for one in gallery.skipped] == ["float.tif", "integer.tif"]
    assert all("no defined range" in one.why for one in gallery.skipped)
