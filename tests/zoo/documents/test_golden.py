"""The golden picture, its embedding, and the tolerance for artifacts."""

import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from pipeline.data.images import Input
from tests.zoo.records import AGREEMENT, a_calibration, a_manifest, an_artifact, pending
from tests.zoo.shelf import DIMENSION, SIZE, a_measurement, fill
from zoo.documents.golden import draw, least, write_golden

WAITING = [an_artifact(), an_artifact("board/model.engine", "int8", "board", "tensorrt")]


def golden(shelf):
    return json.loads((shelf.folder / "golden/embedding.json").read_text())


def bounds(folder, manifest, records, noise=0.0):
    """`min_cosine` of a release whose other artifacts do not run here."""
    fill(folder, manifest, noise)
    write_golden(folder, manifest, records, SIZE)
    return json.loads((folder / "golden/embedding.json").read_text())["min_cosine"]


def test_the_picture_is_of_the_networks_size_in_colour_and_kept_without_loss(shelf):
    with Image.open(shelf.folder / "golden/input.png") as image:
        assert (image.size, image.mode) == ((SIZE.width, SIZE.height), "RGB")
        assert np.array_equal(np.asarray(image), draw(SIZE))


def test_the_picture_depends_on_seed_and_size_alone_and_uses_the_whole_range():
    size = Input(height=64, width=128)
    picture = draw(size)
    assert np.array_equal(picture, draw(size))
    assert not np.array_equal(picture, draw(size, seed=1))
    assert picture.min((0, 1)).tolist() == [0, 0, 0]
    assert picture.max((0, 1)).tolist() == [255, 255, 255]


def test_the_picture_is_smooth_like_a_photograph_and_not_noise():
    picture = draw(Input(height=256, width=256)).astype(float)
    steps = np.abs(np.diff(picture, axis=1)).mean()
    assert 0.2 < steps < 10  # noise has 85


def test_the_embedding_is_that_of_the_fp32_graph_in_onnx_runtime(shelf):
    session = onnxruntime.InferenceSession(shelf.folder / "graph/model.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"images": draw(SIZE)[None]})
    content = golden(shelf)
    assert content["graph"] == "graph/model.onnx"
    assert (content["runtime"], content["version"]) == ("onnxruntime", onnxruntime.__version__)
    assert content["dimension"] == len(content["embedding"]) == DIMENSION
    assert content["embedding"] == pytest.approx(expected[0].tolist(), abs=1e-6)


def test_each_precision_of_the_release_has_a_bound(shelf, tmp_path):
    assert set(golden(shelf)["min_cosine"]) == {"fp32", "int8"}
    assert bounds(tmp_path, a_manifest(artifacts=[an_artifact()]), []) == {"fp32": 0.999}


@pytest.mark.parametrize(
    ("known", "bound"),
    [([0.99], 0.98), ([0.99, 0.95], 0.9), ([0.99999], 0.999), ([0.3], 0.0), ([], 0.0), ([0.99, float("nan")], 0.0)],
)
def test_twice_the_worst_known_distance_is_allowed(known, bound):
    assert least(known) == pytest.approx(bound, abs=1.1e-4)


def test_the_bound_counts_what_an_onnx_artifact_gives_here(tmp_path):
    good = a_measurement(agreement=AGREEMENT | {"min_cosine": 1.0})
    near, far = (bounds(tmp_path / str(noise), a_manifest(), [good], noise)["int8"] for noise in (0.0, 0.5))
    assert near == 0.999
    assert far < 0.99


def test_the_bound_counts_the_worst_image_of_the_test_set_on_the_device(tmp_path):
    manifest = a_manifest(artifacts=WAITING, calibrations=[a_calibration(target="board")])
    measured = a_measurement(target="board", agreement=AGREEMENT | {"min_cosine": 0.97})
    other = a_measurement(target="board", agreement=AGREEMENT | {"min_cosine": 0.1}, ships=False)
    assert bounds(tmp_path, manifest, [measured, other])["int8"] == pytest.approx(0.94, abs=1e-3)


def test_a_calibration_for_all_targets_counts_for_a_pending_one(tmp_path):
    calibration = a_calibration(target=None, agreement=AGREEMENT | {"min_cosine": 0.96})
    manifest = a_manifest(artifacts=WAITING, calibrations=[calibration])
    assert bounds(tmp_path, manifest, [pending("board")])["int8"] == pytest.approx(0.92, abs=1e-3)


def test_the_bound_of_a_pending_device_is_that_of_its_calibration(tmp_path):
    calibrations = [
        a_calibration(target="board", agreement=AGREEMENT | {"min_cosine": 0.96}),
        a_calibration(target="elsewhere", agreement=AGREEMENT | {"min_cosine": 0.1}),
        a_calibration(target="board", agreement=AGREEMENT | {"min_cosine": 0.2}, network="teacher"),
    ]
    manifest = a_manifest(artifacts=WAITING, calibrations=calibrations)
    assert bounds(tmp_path, manifest, [pending("board")])["int8"] == pytest.approx(0.92, abs=1e-3)
