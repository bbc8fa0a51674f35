"""`zoo embed` and `zoo query` as a user sees them."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def done(shop, *arguments):
    result = shop.zoo(*map(str, arguments))
    assert result.exit_code == 0, result.output
    return result


def test_an_image_of_the_gallery_is_its_own_nearest(shop, folder, images):
    result = done(shop, "query", images[2], "--gallery", folder, "--top", 3)
    first = re.search(r"^ +1 +(\S+) +(\S+)", result.stdout, re.MULTILINE)
    assert first.groups() == ("1.000", images[2].name)
    assert len(re.findall(r"^ +\d+ +\d\.\d{3} ", result.stdout, re.MULTILINE)) == 3
    assert result.stdout.splitlines()[-1] == f"sheet: {images[2].stem}.sheet.png"
    with Image.open(f"{images[2].stem}.sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) > 400
    assert result.stderr == ""


def test_a_gallery_file_gives_the_results_of_its_folder(shop, folder, images):
    made = done(shop, "embed", folder, "-o", "x.npz", "--batch", 3)
    assert made.stdout.startswith("embedded: 8 images, 16 dimensions, by tiny@1.0.0 (")
    assert made.stdout.splitlines()[-1] == "gallery: x.npz"
    by_file, by_folder = (
        json.loads(done(shop, "query", images[1], "-g", where, "--json").stdout) for where in ("x.npz", folder)
    )
    assert [one["path"] for one in by_file["nearest"]] == [one["path"] for one in by_folder["nearest"]]
    assert by_file["gallery"] == by_folder["gallery"]


def test_json_is_stable(shop, folder, images):
    made = json.loads(done(shop, "embed", folder, "-o", "x.npz", "--target", "openvino-cpu", "--json").stdout)
    about = {
        "model": "tiny@1.0.0", "target": "openvino-cpu", "precision": made["precision"], "runtime": "openvino",
        "folder": str(folder), "images": 8, "dimension": 16, "skipped": [],
    }  # fmt: skip
    assert made == {**about, "file": "x.npz"}
    found = json.loads(done(shop, "query", images[0], "-g", "x.npz", "--top", 2, "--sheet", "s.jpg", "--json").stdout)
    assert set(found) == {"query", "gallery", "nearest", "sheet", "checked", "stale", "recall"}
    assert (found["checked"], found["stale"]) == (True, [])
    assert (found["query"], found["gallery"], found["sheet"]) == (str(images[0]), about, "s.jpg")
    assert found["nearest"][0] == {"rank": 1, "similarity": pytest.approx(1, abs=1e-5), "path": images[0].name}
    assert [set(one) for one in found["nearest"]] == [{"rank", "similarity", "path"}] * 2


def test_similarity_is_the_cosine_and_falls(shop, folder, images, model):
    nearest = json.loads(done(shop, "query", images[0], "-g", folder, "--json").stdout)["nearest"]
    rows = dict(zip([path.name for path in images], model.embed(images), strict=True))
    query = rows[images[0].name]
    assert [one["similarity"] for one in nearest] == pytest.approx(
        sorted((float(query @ row) for row in rows.values()), reverse=True), abs=1e-5
    )
    assert [one["rank"] for one in nearest] == list(range(1, 9))


@pytest.mark.parametrize("target", ["onnxruntime-cpu", "openvino-cpu"])
def test_a_gallery_is_searched_by_the_artifact_that_embedded_it(shop, folder, images, target):
    """One of them is not the fastest."""
    done(shop, "embed", folder, "-o", "x.npz", "-t", target)
    for model in ((), ("-m", "tiny"), ("-m", "tiny@1.0.0")):
        found = json.loads(done(shop, "query", images[0], "-g", "x.npz", *model, "--json").stdout)
        assert found["gallery"]["target"] == target


def test_a_gallery_without_its_folder_is_searched_with_a_warning(shop, folder, images):
    shutil.copytree(folder, "some")
    done(shop, "embed", "some", "-o", "x.npz")
    shutil.rmtree("some")
    result = done(shop, "query", images[0], "-g", "x.npz", "--json")
    found = json.loads(result.stdout)
    assert found["nearest"][0]["path"] == images[0].name
    assert found["checked"] is False
    assert result.stderr.startswith(f"{Path('some').absolute()} is not here: images that changed")


def exchange(path, other):
    """Another image with the old size and modification time, so that only its content differs."""
    stat = path.stat()
    path.write_bytes(other.read_bytes()[: stat.st_size].ljust(stat.st_size, b"\0"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def test_changed_and_removed_images_are_named_and_left_out(shop, folder, images):
    shutil.copytree(folder, "some")
    done(shop, "embed", "some", "-o", "x.npz")
    asked, longer, exchanged, gone, touched, *_ = (Path("some", path.name) for path in images)
    longer.write_bytes(longer.read_bytes() + b"\0")
    exchange(exchanged, images[7])
    gone.unlink()
    os.utime(touched, ns=(1, 1))  # a new time, but unchanged content
    result = done(shop, "query", asked, "-g", "x.npz", "--json")
    found = json.loads(result.stdout)
    assert [one["path"] for one in found["stale"]] == [longer.name, exchanged.name, gone.name]
    assert [one["why"] for one in found["stale"]] == ["changed", "changed", "gone"]
    assert [one["rank"] for one in found["nearest"]] == [1, 2, 3, 4, 5]
    answers = {one["path"] for one in found["nearest"]}
    assert answers == {path.name for path in images} - {longer.name, exchanged.name, gone.name}
    assert f"{longer.name} (changed), {exchanged.name} (changed), {gone.name} (gone). Embed again" in result.stderr
    done(shop, "embed", "some", "-o", "x.npz")
    again = done(shop, "query", asked, "-g", "x.npz", "--json")
    assert (json.loads(again.stdout)["stale"], again.stderr) == ([], "")


def test_a_stale_image_is_replaced_by_the_next_nearest(shop, folder, images):
    shutil.copytree(folder, "some")
    done(shop, "embed", "some", "-o", "x.npz")
    first, second, third = json.loads(done(shop, "query", images[0], "-g", "x.npz", "--top", 3, "--json").stdout)[
        "nearest"
    ]
    exchange(Path("some", first["path"]), images[3])
    found = json.loads(done(shop, "query", images[0], "-g", "x.npz", "--top", 2, "--json").stdout)
    assert [one["path"] for one in found["nearest"]] == [second["path"], third["path"]]
    assert found["stale"] == [{"path": first["path"], "why": "changed"}]


def test_a_gallery_without_unchanged_images_is_refused(shop, folder, images):
    shutil.copytree(folder, "some")
    done(shop, "embed", "some", "-o", "x.npz")
    for path in Path("some").iterdir():
        path.unlink()
    assert "all 8 images of x.npz changed or are gone" in shop.refused("query", str(images[0]), "-g", "x.npz")


def test_unreadable_images_are_reported_and_counted(shop, folder):
    shutil.copytree(folder, "some")
    Path("some/bad.jpg").write_text("no image")
    result = done(shop, "embed", "some", "-o", "x.npz")
    assert result.stderr.splitlines() == [
        "skipped: can't decode image some/bad.jpg: it is not one of BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF, WEBP. "
        "Replace or remove it."
    ]
    assert "8 images, 1 skipped" in result.stdout
    with np.load("x.npz", allow_pickle=False) as file:
        assert len(file["paths"]) == 8


def test_unsupported_pictures_are_reported_and_counted(shop, folder, images):
    shutil.copytree(folder, "some")
    Path("some/bad.HEIC").write_text("x")
    Path("some/@eaDir").mkdir()
    shutil.copy(images[0], "some/@eaDir/thumb.jpg")
    result = done(shop, "embed", "some", "-o", "x.npz", "--json")
    assert result.stderr.splitlines() == [
        "skipped: some/bad.HEIC: .HEIC is not supported: convert such pictures to JPEG or PNG"
    ]
    found = json.loads(result.stdout)
    assert found["images"] == 8
    assert [one["path"] for one in found["skipped"]] == ["bad.HEIC"]


def test_open_opens_the_sheet(shop, folder, images, monkeypatch):
    opened = []
    monkeypatch.setattr("click.launch", lambda path: opened.append(path) or 1)
    result = done(shop, "query", images[0], "-g", folder, "--sheet", "s.png", "--open")
    assert opened == ["s.png"]
    assert result.stderr == "No program on this machine opens it.\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("query none.jpg -g FOLDER", "can't decode image none.jpg"),
        ("query x.heic -g FOLDER", "can't decode image x.heic: such files are not supported: convert"),
        ("query empty.jpg -g FOLDER", "can't decode image empty.jpg: the file is empty"),
        ("query IMAGE -g none", "the gallery none does not exist. Name a folder of images"),
        ("query IMAGE -g IMAGE", "is not a gallery: it is not an archive of arrays. Make one: zoo embed"),
        ("query IMAGE -g empty", "no images below empty"),
        ("query IMAGE -g FOLDER --sheet s.gif", "a sheet ends in .png"),
        ("query IMAGE -g FOLDER --sheet no/s.png", "does not exist"),
        ("query IMAGE -g FOLDER -m tinny", "Did you mean 'tiny'"),
        ("query IMAGE -g FOLDER -t tpu", "nothing compiled for 'tpu'"),
        ("query IMAGE -g x.npz -t openvino", "Use --target onnxruntime-cpu, or embed"),
        ("embed none -o y.npz", "can't read the folder none"),
        ("embed empty -o y.npz", "no images below empty"),
        ("embed FOLDER -o no/y.npz", "does not exist"),
    ],
)
def test_errors_are_reported_in_one_line(shop, folder, images, arguments, told):
    Path("empty").mkdir()
    Path("empty.jpg").touch()
    Path("x.heic").write_text("x")
    if "x.npz" in arguments:
        done(shop, "embed", folder, "-o", "x.npz", "-t", "onnxruntime-cpu")
    before = sorted(Path().rglob("*"))
    words = {"FOLDER": str(folder), "IMAGE": str(images[0])}
    message = shop.refused(*(words.get(word, word) for word in arguments.split()))
    assert told in message
    assert len(message.splitlines()) <= 2
    assert sorted(Path().rglob("*")) == before
