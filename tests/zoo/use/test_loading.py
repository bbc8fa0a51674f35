"""`zoo.load`, `zoo query` and `zoo embed` of a release that comes with zoo and is not here."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from pipeline.progress import Silent
from tests.conftest import Workshop
from zoo.errors import ManifestError, RegistryError
from zoo.home import Home
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish
from zoo.release.local import find_release


@pytest.fixture
def user(finished, tmp_path, monkeypatch):
    """A user with an empty home, and a zoo that comes with `tiny`, the default."""
    publish(find_release(Home(finished.home), "tiny"), Folder(tmp_path / "prebuilt"), None, Silent())
    monkeypatch.setenv("ZOO_PREBUILT", str(tmp_path / "prebuilt"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    (tmp_path / "user").mkdir()
    shop = Workshop(tmp_path / "user")
    shop.catalogue.write_bytes(finished.catalogue.read_bytes())
    monkeypatch.chdir(shop.root)
    monkeypatch.setenv("ZOO_HOME", str(shop.home))
    monkeypatch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
    return shop


def image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["tiny", "tiny@1.0.0", "tiny@^1"])
def test_it_is_pulled_and_a_log_line_says_so(user, finished, name, caplog):
    expected = zoo.load("tiny", "onnxruntime-cpu", home=finished.home).embed(image())
    assert not user.home.exists()
    with caplog.at_level(logging.INFO, "zoo"):
        model = zoo.load(name, "onnxruntime-cpu")
    assert np.array_equal(model.embed(image()), expected)
    assert [line for line in caplog.messages if "pulled from the releases that come with zoo" in line]
    caplog.clear()
    assert zoo.load(name, "onnxruntime-cpu").release == "tiny@1.0.0"
    assert not [line for line in caplog.messages if "pulled from" in line], "it is here now"


def test_a_home_that_is_named_gets_it(user, tmp_path):
    assert zoo.load("tiny", home=tmp_path / "named").release == "tiny@1.0.0"
    assert (tmp_path / "named/pulled/tiny/1.0.0/manifest.json").exists()
    assert not user.home.exists()


@pytest.mark.parametrize("name", ["tinny", "tiny@2", "tiny@9.9.9"])
def test_what_does_not_come_with_zoo_is_reported_as_before(user, name):
    with pytest.raises(ManifestError, match="no release"):
        zoo.load(name)
    assert not user.home.exists()


@pytest.mark.parametrize("how", ["variable", "catalogue"])
def test_a_registry_of_the_user_takes_their_place(user, monkeypatch, how):
    """Its `tiny` may be another one, and to load it must not use a network."""
    if how == "variable":
        monkeypatch.setenv("ZOO_REGISTRY", "/srv/zoo")
    else:
        user.catalogue.write_text(user.catalogue.read_text() + "\nregistry: {url: /srv/zoo}\n")
    with pytest.raises(ManifestError, match="no release 'tiny' .*: zoo pull tiny"):
        zoo.load("tiny")
    assert "no release 'tiny'" in user.refused("show", "tiny")
    assert "no release 'tiny'" in user.refused("compare", "tiny")
    assert "no release in" in user.refused("search", "map > 1")
    assert "to pull" not in user.zoo("list").stdout
    assert "tiny@1.0.0" in user.zoo("list", "--registry", "zoo://prebuilt").stdout
    assert not user.home.exists()


def test_a_folder_is_never_pulled(user):
    with pytest.raises(ManifestError, match="is not a release"):
        zoo.load("./tiny")
    assert not user.home.exists()


def test_a_damaged_one_is_reported(user, tmp_path):
    for path in (tmp_path / "prebuilt/blobs").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x")
    with pytest.raises(RegistryError, match=r"is damaged: its sha256 is \w{64}, not \w{64}\. Restore it"):
        zoo.load("tiny")


def test_a_pull_says_what_is_here_and_how_to_get_the_rest(user):
    last = user.zoo("pull", "tiny", "-t", "onnxruntime-cpu").stdout.splitlines()[-1]
    rest = "Not pulled: openvino-cpu (zoo pull tiny@1.0.0 --target TARGET, or --all)"
    assert last == f"pulled: tiny@1.0.0: onnxruntime-cpu, the graph and the documents. {rest}"
    last = user.zoo("pull", "tiny", "--all").stdout.splitlines()[-1]
    assert last == "pulled: tiny@1.0.0: onnxruntime-cpu, openvino-cpu, the graph and the documents"


def test_a_pull_where_no_runtime_is_says_what_to_do(user, monkeypatch):
    monkeypatch.setattr("zoo.registry.choice.best_target", lambda *_: None)
    last = user.zoo("pull", "tiny").stdout.splitlines()[-1]
    assert last.startswith(
        "pulled: tiny@1.0.0: the graph and the documents. Not pulled: onnxruntime-cpu, openvino-cpu ("
    )
    assert last.endswith(". No compiled artifact runs here: zoo doctor says what to install")


def test_a_query_needs_no_pull_and_no_model(user, finished):
    images = finished.root / "data/squares/image_query"
    first = min(images.glob("*.jpg"))
    done = user.zoo("query", str(first), "--gallery", str(images))
    assert done.exit_code == 0, done.output
    assert "pulling tiny@1.0.0 from the releases that come with zoo" in done.stderr
    assert "cosine by tiny@1.0.0" in done.stdout
    assert Path(f"{first.stem}.sheet.png").exists()
    assert user.zoo("embed", str(images), "-o", "all.npz").exit_code == 0
    assert user.zoo("query", str(first), "--gallery", "all.npz").exit_code == 0


def test_the_model_of_a_gallery_file_is_pulled_if_it_is_not_here(user, finished):
    images = finished.root / "data/squares/image_query"
    first = min(images.glob("*.jpg"))
    assert user.zoo("embed", str(images), "-o", "all.npz").exit_code == 0
    shutil.rmtree(user.home)
    done = user.zoo("query", str(first), "--gallery", "all.npz")
    assert done.exit_code == 0, done.output
    assert "pulling tiny@1.0.0 from the releases that come with zoo" in done.stderr


def test_nothing_is_pulled_for_a_gallery_that_does_not_exist(user, finished):
    first = min((finished.root / "data/squares/image_query").glob("*.jpg"))
    assert "the gallery none does not exist" in user.refused("query", str(first), "--gallery", "none", "-m", "tiny")
    assert not user.home.exists()


def test_without_a_release_of_the_default_the_ways_to_one_are_told(user, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_PREBUILT", str(tmp_path / "nothing"))
    told = user.refused("query", "a.jpg", "--gallery", ".")
    assert told.startswith("no release in ")
    assert "zoo pull tiny" in told
