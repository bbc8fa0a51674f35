"""Sample pictures: drawn, small, unknown to every model, and written without harm."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from pipeline.data import toycars
from tests.conftest import Workshop
from zoo.samples import sample_pictures
from zoo.samples.drawing import GALLERY_CAMERAS, VEHICLES, drawn


@pytest.fixture
def user(tmp_path, monkeypatch):
    shop = Workshop(tmp_path)
    shop.catalogue.write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    return shop


def pixels(content):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_they_are_small_and_there_are_sixty_of_twelve_vehicles():
    pictures = sample_pictures()
    assert sum(map(len, pictures.values())) < 300_000
    folders = [name.partition("/")[0] for name in pictures]
    assert (folders.count("query"), folders.count("gallery")) == (VEHICLES, VEHICLES * len(GALLERY_CAMERAS)) == (12, 48)


def test_they_are_what_the_command_draws():
    pictures = dict(drawn())
    assert pictures.keys() == sample_pictures().keys()
    for name, content in sample_pictures().items():
        assert np.abs(pixels(content) - pixels(pictures[name])).mean() < 1, name  # encoders of JPEG differ


def test_no_model_was_trained_or_tested_on_them(tmp_path, monkeypatch):
    """The data set ends before the first of these vehicles, and is drawn by the same function."""
    seen = []
    monkeypatch.setattr(toycars, "picture", lambda *which: seen.append(which) or Image.new("RGB", (2, 2)))
    toycars.draw(tmp_path / "toycars")
    assert max(identity for identity, _, _ in seen) == toycars.IDENTITIES - 1
    seen.clear()
    assert len([*drawn()]) == len(seen)
    assert min(identity for identity, _, _ in seen) == toycars.IDENTITIES


def test_they_are_written_once_and_the_next_command_is_told(user):
    done = user.zoo("samples")
    assert done.exit_code == 0
    query = "samples/query/vehicle01_cam1.jpg"
    assert done.stdout == f"samples: 60 pictures in samples\nTry: zoo query {query} --gallery samples/gallery\n"
    times = {path: path.stat().st_mtime_ns for path in (user.root / "samples").rglob("*.jpg")}
    told = json.loads(user.zoo("samples", "--json").stdout)
    assert (told["folder"], len(told["pictures"])) == ("samples", 60)
    assert times == {path: path.stat().st_mtime_ns for path in (user.root / "samples").rglob("*.jpg")}


def test_a_file_of_the_user_is_not_replaced(user):
    (user.root / "mine/gallery").mkdir(parents=True)
    other = user.root / "mine/gallery/vehicle12_cam6.jpg"
    other.write_text("mine")
    assert "is there and is not the sample of this name" in user.refused("samples", "mine")
    assert other.read_text() == "mine"
    assert not (user.root / "mine/query").exists(), "nothing was written"


def test_a_folder_that_can_not_be_made_is_reported(user):
    (user.root / "file").write_text("")
    assert "can't write the samples to file/below: " in user.refused("samples", "file/below")
