"""`zoo.load(name).embed(images)`: equal to the measured embeddings, for every type of input."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import zoo
from pipeline.data.images import Input, read_image
from targets.contract import make_target
from targets.settings import TargetSettings
from tests.helpers import random_images
from zoo.errors import ImageError, ManifestError, NothingRuns, ZooError
from zoo.home import Home
from zoo.use.embedder import default_release
from zoo.use.golden import read_golden

TOP = Path(__file__).parents[3]
SIZE = Input(height=32, width=32)


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu", "onnxruntime", "openvino"])
def test_embeddings_equal_the_measured_ones(shop, images, target, tmp_path):
    root = shop.home / "releases" / "tiny" / "1.0.0"
    runtime = target.removesuffix("-cpu")
    folder = root / (target if target.endswith("-cpu") else "graph")
    runner = make_target(TargetSettings(runtime))
    if target == "openvino":  # takes the graph after a conversion only
        from targets.contract import Job

        runner.compile(folder / "model.onnx", tmp_path, Job(32, 32, (1, 8)))
        folder = tmp_path
    expected = runner.load(folder).embed(np.stack([read_image(path, SIZE) for path in images]))
    found = zoo.load("tiny@1.0.0", target).embed(images)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(8), abs=1e-6)
    assert (found * expected).sum(1).min() > 0.9999


def test_the_embedder_describes_itself(model):
    assert (model.release, model.dimension, model.input_size) == ("tiny@1.0.0", 16, (32, 32))
    again = zoo.load(model.release, model.target)
    assert again.artifact_sha256 == model.artifact_sha256
    assert (again.target, again.precision, again.runtime) == (model.target, model.precision, model.runtime)


def test_arrays_pictures_and_paths_give_equal_rows(model, images):
    arrays = np.stack([np.asarray(Image.open(path)) for path in images])
    expected = model.embed(images)
    for given in (
        arrays,
        list(arrays),
        [Image.open(path) for path in images],
        [str(path) for path in images],
        np.array([str(path) for path in images]),
        (path if place % 2 else arrays[place] for place, path in enumerate(images)),
    ):
        np.testing.assert_array_equal(model.embed(given), expected)
    for one in (images[3], str(images[3]), arrays[3], Image.open(images[3])):
        np.testing.assert_allclose(model.embed(one), expected[3:4], atol=1e-5)


def test_arrays_of_any_size_are_read_as_evaluation_reads_files(model, tmp_path):
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 50, 3), np.uint8))
    large.save(tmp_path / "large.png")
    pixels = np.asarray(large)
    np.testing.assert_array_equal(model.read(pixels), read_image(tmp_path / "large.png", SIZE))
    np.testing.assert_array_equal(model.read(pixels[..., ::-1]), model.read(pixels[..., ::-1].copy()))


def test_the_batch_does_not_matter(model):
    images = random_images(11)
    expected = model.embed(images)
    for batch in (1, 2, 5, 11, 1000):
        np.testing.assert_allclose(model.embed(images, batch=batch), expected, atol=1e-5)


class Counting:
    """A session that records batch sizes, and fails on the last image of some call."""

    def __init__(self, fails=0):
        self.batches, self.fails = [], fails

    def embed(self, pixels):
        self.batches.append(len(pixels))
        rows = np.ones((len(pixels), 16), np.float16)
        rows[-1] = 0 if len(self.batches) == self.fails else 1
        return rows


def test_batches_do_not_exceed_the_artifacts_limit(model, monkeypatch):
    monkeypatch.setattr(model, "largest_batch", 4)
    monkeypatch.setattr(model, "_session", session := Counting())
    rows = model.embed(random_images(11), batch=1000)
    assert session.batches == [4, 4, 3]
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(11), abs=1e-6)


def test_an_embedding_that_is_not_finite_is_refused_with_its_image(model, monkeypatch):
    monkeypatch.setattr(model, "_session", Counting(fails=2))
    with pytest.raises(ImageError, match=f"image 4: its embedding by {model.target} in .* is not finite"):
        model.embed(random_images(5), batch=3)


def test_no_images_give_no_rows(model):
    for none in ([], np.zeros((0, 32, 32, 3), np.uint8), iter(())):
        assert model.embed(none).shape == (0, 16)


def test_several_threads_get_their_own_rows(model):
    batches = [random_images(6, seed=seed) for seed in range(4)]
    expected = [model.embed(batch) for batch in batches]
    found = [None] * 4

    def work(place):
        for _ in range(10):
            found[place] = model.embed(batches[place], batch=2)

    threads = [Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_errors_say_which_image_and_why(model, images, tmp_path):
    good = random_images(1)[0]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(images[0].read_bytes()[:300])
    closed = Image.open(images[0])
    closed.close()
    for given, told in (
        ([good, good / 255], "image 1: an image array must be uint8, 0 … 255; this one is float64"),
        ([good, good, good[..., 0]], "image 2: an image array must be H×W×3, RGB; this one is 32×32"),
        (np.moveaxis(good, 2, 0)[None], "image 0: .*this one is 3×32×32"),
        (good[:, :0], "image 0: .*this one is 32×0×3"),
        (good[..., 0], "image arrays must be .*this one is 32×32"),
        ([images[0], tmp_path / "none.jpg"], "image 1: can't decode image .*none.jpg"),
        ([cut], "image 0: can't decode image .*cut.jpg"),
        ([closed], "image 0: Pillow can't decode it"),
        ([good, None], "image 1: pass uint8 arrays, PIL images or paths, not NoneType"),
        (3, "image 0: .*not int"),
        ([[good]], "image 0: .*not list"),
    ):
        with pytest.raises(ImageError, match=told):
            model.embed(given)
    with pytest.raises(ImageError, match="batch must be at least 1, not 0"):
        model.embed([good], batch=0)


def test_no_framework_is_imported(shop, images):
    code = f"""\
import sys
blocked = ("torch", "torchvision", "timm", "onnx", "safetensors", "openvino", "onnxsim")
sys.modules.update(dict.fromkeys(blocked))
import zoo
assert not {{"numpy", "PIL", "pydantic", "onnxruntime"}} & set(sys.modules), "import zoo is slow"
assert zoo.load("tiny", "onnxruntime-cpu").embed({str(images[0])!r}).shape == (1, 16)
"""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_without_a_runtime_the_error_says_what_to_install(shop, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("targets.carried.version", missing)
    with pytest.raises(
        NothingRuns, match=r"no runtime here runs tiny@1.0.0: .*openvino is not installed.*Run: pip install"
    ):
        zoo.load("tiny")
    with pytest.raises(NothingRuns, match=r"does not run here as openvino-cpu: openvino is not installed. Run: pip"):
        zoo.load("tiny", "openvino-cpu")


def test_a_missing_runtime_is_skipped(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert zoo.load("tiny").target == "openvino-cpu"


def test_a_wrong_name_is_refused(shop):
    with pytest.raises(ManifestError, match="no release 'tinny'.*Did you mean 'tiny'.*zoo pull tinny$"):
        zoo.load("tinny")
    with pytest.raises(ManifestError, match="no release 'resnet50-veri' .*: zoo build resnet50-veri; or get it: zoo p"):
        zoo.load("resnet50-veri")
    with pytest.raises(NothingRuns, match="nothing compiled for 'openvno-cpu'. Did you mean 'openvino-cpu'"):
        zoo.load("tiny", "openvno-cpu")
    with pytest.raises(ZooError, match="threads must be an integer of at least 1, not 0"):
        zoo.load("tiny", threads=0)


def test_a_damaged_artifact_is_refused_and_a_missing_one_skipped(built, shop, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(built.home))
    root = (built.home / "releases" / "tiny" / "1.0.0").resolve()
    file = root / "openvino-cpu" / "model.xml"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b" ")
    with pytest.raises(ManifestError, match="model.xml is damaged: its sha256 differs from the manifest"):
        zoo.load("tiny", "openvino-cpu")
    file.unlink()
    with pytest.raises(
        NothingRuns, match="openvino-cpu/model.xml is not here. Get it: zoo pull tiny@1.0.0 --target openvino-cpu"
    ):
        zoo.load("tiny", "openvino-cpu")
    (root / "onnxruntime-cpu" / "model.onnx").unlink()
    model = zoo.load("tiny")
    assert (model.precision, model.target) == ("fp32", "openvino")


def test_the_only_release_or_the_default_is_used(built, monkeypatch):
    home = Home(built.home)
    monkeypatch.setenv("ZOO_CATALOGUE", str(built.catalogue))
    assert default_release(home) == "tiny"
    (built.home / "releases" / "other").symlink_to("tiny")
    assert default_release(home) == "tiny"
    (built.home / "releases" / "tiny").rename(built.home / "releases" / "another")
    (built.home / "releases" / "other").unlink()
    assert default_release(home) == "another"
    (built.home / "releases" / "other").symlink_to("another")
    with pytest.raises(ManifestError, match="which model. There are another, other. Name it: --model another"):
        default_release(home)
    with pytest.raises(ManifestError, match="no release in .*Build one: zoo build tiny"):
        default_release(Home(built.root / "nowhere"))


def test_an_artifact_with_a_different_embedding_is_skipped(shop, images, monkeypatch):
    golden = read_golden(shop.home / "releases/tiny/1.0.0")
    monkeypatch.setattr("zoo.use.sessions.read_golden", lambda _folder: replace(golden, min_cosine={"int8": 1.1}))
    assert zoo.load("tiny").precision == "fp32"
    with pytest.raises(
        NothingRuns, match="openvino-cpu in int8 produces a different embedding on this machine: cosine"
    ):
        zoo.load("tiny", "openvino-cpu")


def _bomb(path):
    Image.new("1", (20_000, 20_000)).save(path)  # 60 kB


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("input.png", _bomb, "pixels"),
        ("input.png", lambda path: path.write_bytes(b"none"), "cannot identify image file"),
        ("embedding.json", lambda path: path.write_text('{"min_cosine": {}}'), "embedding: Field required"),
    ],
    ids=["bomb", "none", "json"],
)
def test_an_invalid_golden_input_is_reported(built, shop, monkeypatch, name, damage, told):
    monkeypatch.setenv("ZOO_HOME", str(built.home))
    file = built.home / "releases" / "tiny" / "1.0.0" / "golden" / name
    file.unlink()
    damage(file)
    with pytest.raises(ManifestError, match=f"the golden input in .* is damaged: .*{told}"):
        zoo.load("tiny")
