"""`zoo data`: wrong patterns and files are detected before training."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.progress import Silent
from zoo.catalogue import load_catalogue
from zoo.data.identities import SHOWN, draw_identities, some_identities
from zoo.data.overview import look
from zoo.home import Home

SHORT = "(?P<identity>\\d{3})\\d_c(?P<camera>\\d+)"  # three of four digits


def data(shop, *arguments):
    result = shop.zoo("data", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def figures(shop, *arguments):
    return json.loads(data(shop, "squares", *arguments, "--json"))


def change(shop, before, after):
    text = shop.catalogue.read_text()
    assert before in text
    shop.catalogue.write_text(text.replace(before, after))


def test_a_set_in_words(workshop):
    found = data(workshop, "tiny")
    assert found.splitlines()[1:4] == [
        "train: 40 images, 10 identities, 2 cameras",
        "query: 8 images, 4 identities, 2 cameras",
        "gallery: 8 images, 4 identities, 2 cameras",
    ]
    assert re.search(r"images of an identity +in train +in query +in gallery", found)
    assert re.search(r"^ 4 +10 +0 +0 *$", found, re.MULTILINE)
    assert re.search(r"^ 2 +0 +4 +4 *$", found, re.MULTILINE)
    assert re.search(r"^ 001 +20 +4 +4 *$", found, re.MULTILINE)
    assert "pixels: width 32 … 32 (median 32), height 32 … 32 (median 32), 1 different size\n" in found
    assert "identical files: none\n" in found
    assert "would refuse" not in found


def test_a_set_in_figures(workshop):
    found = figures(workshop)
    assert found["folder"] == str(workshop.root / "data" / "squares")
    assert found["images_per_identity"] == {"train": {"4": 10}, "query": {"2": 4}, "gallery": {"2": 4}}
    assert found["images_per_camera"]["train"] == {"000": 20, "001": 20}
    assert found["alone"] == {"train": [], "query": [], "gallery": []}
    assert found["width"] == {"least": 32, "median": 32, "most": 32}
    assert (found["sizes"], found["refused"], found["sheet"]) == (1, [], None)


def test_a_pattern_for_three_of_four_digits_is_detected(workshop):
    """Identities 0000 … 0009 become one, and 0010 … 0014 another, which is in both training and test."""
    train = workshop.root / "data" / "squares" / "image_train"
    for path in train.glob("0009_*"):
        shutil.copy(path, train / path.name.replace("0009_", "0014_"))
    change(workshop, "(?P<identity>\\d+)_c(?P<camera>\\d+)", SHORT)
    found = figures(workshop)
    assert found["images_per_identity"]["train"] == {"40": 1, "4": 1}
    assert found["splits"]["query"]["identities"] == 1
    assert any("in both training and test" in problem for problem in found["refused"])
    assert "zoo build would refuse it: 1 identities of data set" in data(workshop, "squares")


def test_problems_for_a_build_are_listed_without_an_error(workshop):
    root = workshop.root / "data" / "squares"
    for path in sorted((root / "image_train").glob("0003_*"))[1:]:
        path.unlink()
    for path in (root / "image_test").glob("0011_c001_*"):
        path.unlink()
    query = min((root / "image_query").iterdir())
    shutil.copy(query, root / "image_train" / "0001_c000_77777777_0.jpg")
    found = figures(workshop)
    told = ("one training image", "has no correct answer", "images for both training and test, 1 in all")
    assert len(found["refused"]) == 3
    assert all(any(words in problem for problem in found["refused"]) for words in told)
    assert found["alone"]["train"] == ["image_train/0003_c000_00000300_0.jpg"]
    assert (found["exact"]["pairs"], found["exact"]["train_test"], found["exact"]["other_identity"]) == (1, 1, 1)
    for problem in found["refused"]:  # in the same words
        if "one training image" in problem:
            assert problem in workshop.refused("build", "tiny")


def test_near_duplicates_across_train_and_test(workshop):
    root = workshop.root / "data" / "squares"
    with Image.open(min((root / "image_query").iterdir())) as image:
        image.save(root / "image_train" / "0001_c000_77777777_0.jpg", quality=70)
    found = figures(workshop)["near"]
    assert (found["pairs"], found["train_test"]) == (1, 1)
    assert "image_train/0001_c000_77777777_0.jpg" in found["examples"][0].values()


def overview(shop, monkeypatch):
    monkeypatch.setenv("ZOO_CATALOGUE", str(shop.catalogue))
    return look(load_catalogue(), Home(shop.home), "squares", shop.root / "data", Silent())


def test_the_sheet_shows_identities_from_most_to_fewest_images(workshop, monkeypatch):
    train = workshop.root / "data" / "squares" / "image_train"
    for number in range(20):
        shutil.copy(min(train.glob("0005_*")), train / f"0005_c000_9000{number:04}_0.jpg")
    rows = some_identities(overview(workshop, monkeypatch).found, 3)
    assert [row.name for row in rows] == ["0005", "0006", "0013"]
    assert [row.about for row in rows] == ["24 in train; 8 of 24 images", "4 in train", "2 in query, 2 in gallery"]
    assert [len(row.files) for row in rows] == [SHOWN, 4, 4]
    assert all(file.name.startswith(row.name) for row in rows for file in row.files)


def test_images_of_an_identity_are_in_its_row(workshop, monkeypatch, tmp_path):
    colours = {"0000": (255, 0, 0), "0001": (0, 255, 0)}
    train = workshop.root / "data" / "squares" / "image_train"
    for identity, colour in colours.items():
        for place, path in enumerate(sorted(train.glob(f"{identity}_*"))):
            image = Image.new("RGB", (32, 32), colour)
            image.putpixel((0, place), (0, 0, 0))
            image.save(path, "PNG")
    rows = [row for row in some_identities(overview(workshop, monkeypatch).found, 12) if row.name in colours]
    pixels = np.asarray(draw_identities(rows, "title"))
    places = [np.nonzero((pixels == colours[row.name]).all(2)) for row in rows]
    (first, columns), (second, _) = places
    assert first.max() < second.min()
    assert np.ptp(columns) > 3 * 200  # four adjacent images


def test_a_sheet_is_written_to_the_given_file(workshop, tmp_path):
    sheet = tmp_path / "s.png"
    assert data(workshop, "squares", "--sheet", str(sheet), "--identities", "2").splitlines()[-1] == f"sheet: {sheet}"
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    before = {path: path.read_bytes() for path in workshop.root.rglob("*.jpg")}
    own = min(before)
    assert "would replace one of its inputs" in workshop.refused("data", "squares", "--sheet", str(own))
    assert {path: path.read_bytes() for path in workshop.root.rglob("*.jpg")} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("data square", "no data set 'square' in the catalogue. Did you mean 'squares'?"),
        ("data squares --data-root /nowhere", "no folder /nowhere/squares for data set 'squares'"),
        ("data squares --sheet s.gif", "a sheet ends in .png"),
        ("data squares --sheet /nowhere/s.png", "the folder /nowhere does not exist"),
    ],
)
def test_errors_are_reported_in_one_line(workshop, arguments, told):
    message = workshop.refused(*arguments.split())
    assert told in message
    assert len(message.splitlines()) <= 2


@pytest.mark.parametrize("name", ["squares", "tiny"])
def test_a_faulty_data_set_is_reported_with_its_fault(workshop, name):
    """Also by the name of a model that is built on it."""
    workshop.catalogue.write_text(workshop.catalogue.read_text().replace("path:", "pth:", 1))
    message = workshop.refused("data", name)
    assert "datasets.squares.pth: unknown key. Did you mean 'path'?" in message


def test_names_of_data_sets_are_completed(workshop, monkeypatch):
    from zoo.cli.completion import dataset

    monkeypatch.setenv("ZOO_CATALOGUE", str(workshop.catalogue))
    assert dataset(None, None, "sq") == ["squares"]
