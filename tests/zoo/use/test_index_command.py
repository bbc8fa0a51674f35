"""`zoo index` and `zoo query --index` as a user sees them."""

import json
import shutil
from pathlib import Path

import pytest

from tests.zoo.use.test_commands import done, exchange


def nearest(shop, image, *options):
    return json.loads(done(shop, "query", image, *options, "--json").stdout)


def test_an_index_finds_what_its_gallery_finds(shop, folder, images):
    done(shop, "embed", folder, "-o", "x.npz")
    made = done(shop, "index", "x.npz", "-o", "x.index")
    assert made.stdout.startswith("indexed: 8 images, 16 dimensions, by tiny@1.0.0 (")
    assert "in 1 list\na query compares all of them: recall@1 100 %\nindex: x.index, 0." in made.stdout
    by_index, by_file = nearest(shop, images[2], "-i", "x.index"), nearest(shop, images[2], "-g", "x.npz")
    assert [one["path"] for one in by_index["nearest"]] == [one["path"] for one in by_file["nearest"]]
    for one, other in zip(by_index["nearest"], by_file["nearest"], strict=True):
        assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-5)
    assert by_index["gallery"] == by_file["gallery"]
    assert by_index["recall"] is None  # one list: every image was compared
    said = done(shop, "query", images[2], "--index", "x.index", "--top", 3)
    assert said.stdout.splitlines()[-1] == f"sheet: {images[2].stem}.sheet.png"
    assert said.stderr == ""


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu"])
def test_a_folder_is_embedded_first(shop, folder, images, target):
    made = json.loads(done(shop, "index", folder, "-o", "x.index", "-t", target, "--json").stdout)
    assert (made["target"], made["images"], made["lists"], made["searched"]) == (target, 8, 1, 1)
    assert made["size_bytes"] == Path("x.index").stat().st_size
    assert nearest(shop, images[0], "-i", "x.index")["gallery"]["target"] == target


def test_changed_images_near_the_query_are_named_and_left_out(shop, folder, images):
    shutil.copytree(folder, "some")
    done(shop, "index", "some", "-o", "x.index")
    order = [one["path"] for one in nearest(shop, images[0], "-i", "x.index")["nearest"]]
    exchange(Path("some", order[0]), images[3])
    Path("some", order[1]).unlink()
    result = done(shop, "query", images[0], "-i", "x.index", "--top", 2, "--json")
    found = json.loads(result.stdout)
    assert [one["path"] for one in found["nearest"]] == order[2:4]
    assert {one["path"]: one["why"] for one in found["stale"]} == {order[0]: "changed", order[1]: "gone"}
    assert "Index again: zoo index " in result.stderr
    for path in Path("some").iterdir():
        path.unlink()
    assert "all 8 images near the query changed or are gone" in shop.refused("query", str(images[0]), "-i", "x.index")
    shutil.rmtree("some")
    result = done(shop, "query", images[0], "-i", "x.index", "--json")
    assert json.loads(result.stdout)["checked"] is False
    assert "is not here: images that changed" in result.stderr


def test_an_index_of_another_model_is_refused(shop, folder, images):
    done(shop, "index", folder, "-o", "x.index", "-t", "onnxruntime-cpu")
    said = shop.refused("query", str(images[0]), "-i", "x.index", "-t", "openvino-cpu")
    assert said.startswith("x.index was embedded by tiny@1.0.0 as onnxruntime-cpu in ")
    assert "Use --target onnxruntime-cpu" in said
    assert len(said.splitlines()) == 1


def test_files_that_are_no_index_are_refused(shop, folder, images):
    done(shop, "embed", folder, "-o", "x.npz")
    assert "Search it with --gallery x.npz" in shop.refused("query", str(images[0]), "-i", "x.npz")
    done(shop, "index", "x.npz", "-o", "x.index")
    assert "Search it with --index x.index" in shop.refused("query", str(images[0]), "-g", "x.index")
    content = Path("x.index").read_bytes()
    Path("x.index").write_bytes(content[:-1])
    assert "x.index is damaged or no index" in shop.refused("query", str(images[0]), "-i", "x.index")
    none = shop.refused("query", str(images[0]), "-i", "none.index")
    assert "can't read the index none.index" in none
    assert "make one: zoo index GALLERY -o none.index" in none
    assert "Name a folder of images" in shop.refused("index", "none", "-o", "y.index", "-m", "tiny")
    assert "is not a gallery" in shop.refused("index", str(images[0]), "-o", "y.index")
    assert "the folder " in shop.refused("index", "x.npz", "-o", "none/y.index")
    assert not Path("y.index").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("query", "a.jpg"), "either --gallery or --index"),
        (("query", "a.jpg", "-g", "x.npz", "-i", "x.index"), "either --gallery or --index"),
        (("index", "x.npz", "-o", "x.index", "-m", "tiny"), "a file has its own model"),
        (("index", "x.npz", "-o", "x.npz"), "would replace its gallery"),
        (("index", "x.npz", "-o", "x.index", "--recall", "101"), "--recall"),
    ],
)
def test_options_that_exclude_each_other(shop, arguments, words):
    Path("x.npz").write_bytes(b"")
    result = shop.zoo(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
