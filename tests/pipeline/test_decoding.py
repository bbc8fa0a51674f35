"""Pixels of files of every kind, on every path that reads images."""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import decoding
from pipeline.data.batches import TrainingBatches
from pipeline.data.decoding import open_rgb, to_rgb
from pipeline.data.images import decode, read_batches, read_image, to_pixels
from pipeline.data.sampler import Sampling
from pipeline.data.samples import Index, Samples
from pipeline.errors import DataError
from pipeline.stages.bundle import _test_set, _write_test_set
from pipeline.stages.calibrate import embed_samples
from targets.bundles.pixels import unpack
from tests.helpers import SMALL
from tests.kinds import draw_kinds, draw_refused


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return list(draw_kinds(tmp_path_factory.mktemp("kinds")).values())


@pytest.fixture(scope="module")
def samples(kinds):
    """All files as a split, each its own identity."""
    numbers = np.arange(len(kinds))
    root = kinds[0].path.parent
    return Samples(root, tuple(one.path.name for one in kinds), numbers, numbers, numbers)


def check(kinds, found):
    """Check that every image has the displayed pixels of its file."""
    for one, pixels in zip(kinds, found, strict=True):
        off = np.abs(np.asarray(pixels).astype(int) - one.shown).max()
        assert off <= one.rounding, (one.path.name, off)


def by_data_set(samples):
    return [read_image(samples.root / path, SMALL) for path in samples.paths]


def by_evaluation(samples):
    return np.concatenate(list(read_batches(samples, SMALL, 7)))


def by_training(samples):
    """Each image twice, since triplets need two; without augmentation."""
    doubled = samples.subset(np.repeat(np.arange(len(samples)), 2))
    plain = Sampling(identities=len(samples), images=2, flip=0, pad=0, erase=0)
    ((images, labels),) = TrainingBatches(doubled, SMALL, plain, 0).epoch(0)
    found = dict(zip(labels.tolist(), images.permute(0, 2, 3, 1).numpy(), strict=True))
    return [found[label] for label in range(len(samples))]


def by_calibration(samples):
    """Inputs of a session."""

    class Looking:
        compute_ms = None

        def embed(self, images):
            return images.reshape(len(images), -1)

    return embed_samples(Looking(), samples, SMALL).reshape(-1, SMALL.height, SMALL.width, 3)


def by_bundle(samples, tmp_path):
    _write_test_set(tmp_path / "test", Index(samples, samples, samples, ""), SMALL)
    return unpack(np.load(tmp_path / "test" / "images.npy"))


@pytest.mark.parametrize("path", [by_data_set, by_evaluation, by_training, by_calibration])
def test_every_path_reads_the_displayed_pixels_of_every_kind(kinds, samples, path):
    check(kinds, path(samples))


def test_bundles_hold_the_displayed_pixels_of_every_kind(kinds, samples, tmp_path):
    check(kinds, by_bundle(samples, tmp_path))


def test_a_bundle_that_was_interrupted_writes_its_test_set_again(samples, tmp_path):
    (tmp_path / "test.new").mkdir()
    (tmp_path / "test.new" / "half.npy").write_bytes(b"half")
    folder = _test_set(tmp_path, Index(samples, samples, samples, ""), SMALL)
    assert "half.npy" not in {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["test"]
    assert _test_set(tmp_path, Index(samples, samples, samples, ""), SMALL) == folder


def test_bytes_and_open_pictures_are_read_like_files(kinds):
    check(kinds, [decode(BytesIO(one.path.read_bytes()), "x").image for one in kinds])
    for one in kinds:
        with Image.open(one.path) as picture:
            check([one], [to_pixels(picture, SMALL)])


def test_an_image_is_rotated_only_once(kinds):
    turned = [open_rgb(one.path).image for one in kinds]
    check(kinds, [to_rgb(image).image for image in turned])
    assert not any(to_rgb(image).changes for image in turned)


def test_different_images_of_16_bits_stay_different(tmp_path):
    """Both were white where 16 bits were clipped."""
    for name, value in (("a", 20000), ("b", 60000)):
        Image.fromarray(np.full((32, 32), value, np.uint16)).save(tmp_path / f"{name}.png")
    assert [read_image(tmp_path / name, SMALL)[0, 0, 0] for name in ("a.png", "b.png")] == [20000 >> 8, 60000 >> 8]


@pytest.mark.parametrize("name", ["float.tif", "integer.tif"])
def test_numbers_without_a_range_are_refused(tmp_path, name):
    draw_refused(tmp_path)
    with pytest.raises(DataError, match=rf"can't decode image .*{name}: its pixels are .* no defined range: save it"):
        read_image(tmp_path / name, SMALL)


def test_only_changed_pixels_are_recorded(kinds):
    """It goes into fingerprints: those of data sets without such images stay as they were."""
    told = {one.path.name: open_rgb(one.path).changes for one in kinds}
    assert told["turned-wide.png"] == ("16 bits", "orientation 6")
    assert told["alpha.png"] == ("on white",)
    plain = (
        "rgb.png",
        "RGB.jpg",
        "CMYK.jpg",
        "opaque.png",
        "palette.png",
        "moving.gif",
        "turned-1.jpg",
        "turned-6.tif",
    )
    assert not any(told[name] for name in plain)


def test_a_kind_is_more_than_its_name(kinds):
    """The files are what they are called: all modes and formats are there."""
    modes = set()
    for one in kinds:
        with Image.open(one.path) as picture:
            modes.add((picture.format, picture.mode))
    assert {mode for _, mode in modes} >= {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I"}
    assert {kind for kind, _ in modes} >= {"PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM"}


def test_no_other_module_opens_images():
    """Other readers would get other pixels. `golden` and `run` open the picture that zoo has drawn, and `serve`
    checks the size of what it is sent before `decoding` reads it."""
    root = Path(decoding.__file__).parents[2]
    packages = ("zoo", "pipeline", "targets", "calibration")
    opening = {
        path.relative_to(root).as_posix()
        for package in packages
        for path in (root / package).rglob("*.py")
        if re.search(r"\bImage\.open\(|\bimread\(|\bdecode_image\(|\bread_image\(.*ImageReadMode", path.read_text())
    }
    drawn = {"zoo/use/golden.py", "zoo/documents/run.py"}
    assert opening == {"pipeline/data/decoding.py", "zoo/serve/pictures.py", *drawn}
