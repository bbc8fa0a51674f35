"""`make prebuilt`: what changed is told, and nothing unsound replaces the present releases."""

import io
import json
import shutil
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import bench.prebuilt
from bench.pictures import pictures
from bench.prebuilt import Model, changes, main, read_options, renew, replace, sizes, total
from pipeline.data.images import Input
from pipeline.progress import Silent
from tests.zoo.records import measurement
from tests.zoo.registry.samples import files_of, measured, put_release, tree, values_over
from zoo.documents.golden import draw
from zoo.home import Home
from zoo.layout import GOLDEN_INPUT
from zoo.registry.index import INDEX
from zoo.registry.places.folder import Folder
from zoo.registry.publish import find_index, publish

SIZE = Input(height=32, width=48)


def encoded(array, kind="PNG", **more):
    content = io.BytesIO()
    Image.fromarray(array).save(content, kind, **more)
    return content.getvalue()


def photo():
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("test/images.npy", b"pixels")
    return content.getvalue()


def saved(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def noted():
    info = PngInfo()
    info.add_text("Comment", "from a photo")
    return encoded(draw(SIZE), pnginfo=info)


GOLDEN = {GOLDEN_INPUT: encoded(draw(SIZE))}


def put(root, tmp_path, files, name="tiny", **changes):
    """Publish a release with these files."""
    recipe = {**values_over({})["recipe"], "input": SIZE.model_dump(mode="json")}
    release = put_release(Home(tmp_path / f"maker-{name}"), name, files=files, recipe=recipe, **changes)
    publish(release, Folder(root), None, Silent())
    for left in (root / f"{INDEX}.lock", root / "unfinished"):
        left.unlink() if left.is_file() else shutil.rmtree(left, ignore_errors=True)
    return release


def test_a_release_with_a_drawn_picture_holds_none_of_a_data_set(tmp_path):
    put(tmp_path / "r", tmp_path, {**files_of(), **GOLDEN})
    assert [*pictures(tmp_path / "r")] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (encoded(photo()), "is not the picture that zoo draws"),
        (encoded(draw(SIZE, seed=1)), "is not the picture that zoo draws"),
        (encoded(draw(SIZE)[:16]), "is not the picture that zoo draws"),
        (noted(), "is not the picture that zoo draws"),
    ],
    ids=["photo", "other seed", "other size", "text"],
)
def test_another_golden_input_is_reported(tmp_path, content, told):
    put(tmp_path / "r", tmp_path, {**files_of(), GOLDEN_INPUT: content})
    assert [*pictures(tmp_path / "r")] == [f"tiny@1.0.0: {GOLDEN_INPUT} {told}"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (encoded(photo()), "is a PNG image"),
        (encoded(photo(), "JPEG"), "is a JPEG image"),
        (encoded(photo(), "WEBP"), "is a WebP image"),
        (encoded(photo(), "TIFF"), "is a TIFF image"),
        (encoded(photo(), "BMP"), "is a BMP image"),
        (zipped(), "is an archive"),
        (saved(photo()), "is an array"),
        (b"weights" + encoded(photo(), "JPEG") + b"more", "is a file with a JPEG image inside"),
        (b"weights" + encoded(photo()), "is a file with a PNG image inside"),
        (b"weights" + saved(photo()), "is a file with an array inside"),
        (b'<img src="data:image/png;base64,AAAA">', "is a file with an image as text inside"),
    ],
)
def test_a_picture_in_any_other_file_is_reported(tmp_path, content, told):
    put(tmp_path / "r", tmp_path, {**files_of(), **GOLDEN, "openvino-cpu/extra": content})
    assert [*pictures(tmp_path / "r")] == [f"tiny@1.0.0: openvino-cpu/extra {told}"]


def test_random_weights_are_no_picture(tmp_path):
    weights = np.random.default_rng(0).standard_normal(3_000_000).astype(np.float32).tobytes()
    put(tmp_path / "r", tmp_path, {**files_of(), **GOLDEN, "network/network.safetensors": b"\x08" + weights})
    assert [*pictures(tmp_path / "r")] == []


def test_a_file_of_no_release_is_reported(tmp_path):
    put(tmp_path / "r", tmp_path, {**files_of(), **GOLDEN})
    (tmp_path / "r/blobs/aa").mkdir(exist_ok=True)
    (tmp_path / "r/blobs/aa/left").write_text("x")
    (tmp_path / "r/README.md").write_text("allowed")
    assert [*pictures(tmp_path / "r")] == ["blobs/aa/left belongs to no release"]


def test_changes_of_accuracy_cost_time_bytes_and_versions_are_told(tmp_path):
    one = put(tmp_path / "a", tmp_path, {**files_of(), **GOLDEN}, records=(measured(map_=80.0),))
    values = values_over({})
    values["provenance"]["libraries"]["torch"] = "9.9"
    values["compression"]["after"]["macs"] = 12_345
    two = put(
        tmp_path / "b", tmp_path / "b", {**files_of(b"others!"), **GOLDEN, "openvino-cpu/more": b"xyz"},
        records=(measured(map_=78.5),), provenance=values["provenance"], compression=values["compression"],
    )  # fmt: skip
    lines = [*changes(one, two)]
    text = "\n".join(lines)
    assert f"MACs: {one.manifest.compression.after.macs:,} → 12,345" in lines
    assert "bytes: " in text
    assert "openvino-cpu/more: new" in lines
    assert "graph/model.onnx: other content" in lines
    assert "libraries.torch: " in text
    assert "regression: onnxruntime-cpu fp32: mAP % 80.00 → 78.50 (-1.50 points)" in lines
    assert [*changes(one, one)] == []


def test_what_is_measured_for_the_first_time_is_told(tmp_path):
    one = put(tmp_path / "a", tmp_path, {**files_of(), **GOLDEN})
    more = (measured(), measurement(release="tiny@1.0.0", target="openvino-cpu"))
    two = put(tmp_path / "b", tmp_path / "b", {**files_of(), **GOLDEN}, records=more)
    assert [*changes(one, two)] == ["measured for the first time: int8 on openvino-cpu, AMD EPYC"]
    assert [*changes(two, one)] == ["not measured any more: int8 on openvino-cpu, AMD EPYC"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A home in which "building" puts a release with the given files; `run` renews prebuilt/ from it."""

    class Shop:
        home, prebuilt = Home(tmp_path / "home"), tmp_path / "prebuilt"

        def __init__(self) -> None:
            recipe = {**values_over({})["recipe"], "input": SIZE.model_dump(mode="json")}
            self.built: dict[str, Any] = {
                name: {"files": {**files_of(name.encode()), **GOLDEN}, "recipe": recipe} for name in ("tiny", "other")
            }

        def run(self, *words, models=("tiny", "other")):
            options = read_options(["--out", str(self.prebuilt), *words])
            return renew([Model(name) for name in models], self.prebuilt, self.home, options)

    shop = Shop()

    def build(model, data_root, overrides):
        shutil.rmtree(shop.home.releases / model.name, ignore_errors=True)
        put_release(shop.home, model.name, **shop.built[model.name])

    monkeypatch.setattr(bench.prebuilt, "build", build)
    return shop


def snapshot(root):
    return {path: (root / path).read_bytes() for path in tree(root)}


def test_the_first_run_makes_a_registry_and_the_second_changes_nothing(shop, capsys):
    shop.prebuilt.mkdir()
    (shop.prebuilt / "README.md").write_text("about")
    assert shop.run()
    assert "tiny:\n  new\n" in capsys.readouterr().out
    before = snapshot(shop.prebuilt)
    assert before["README.md"] == b"about"
    assert not [path for path in before if path.endswith(".lock") or "unfinished" in path]
    assert sum(sizes(shop.prebuilt).values()) + len(before["README.md"]) + len(before[INDEX]) == total(shop.prebuilt)
    assert shop.run()
    told = capsys.readouterr().out
    assert "tiny:\n  unchanged\n" in told
    assert "nothing changed" in told
    assert snapshot(shop.prebuilt) == before
    assert [path.name for path in shop.prebuilt.parent.iterdir() if path.name.startswith(".")] == []


def test_one_model_is_renewed_and_the_others_stay(shop, capsys):
    shop.run()
    before = find_index(Folder(shop.prebuilt)).find("other", "1.0.0")
    shop.built["tiny"]["version"] = "1.1.0"
    shop.built["other"] = {"files": {}}  # would be seen
    assert shop.run(models=["tiny"])
    told = capsys.readouterr().out
    assert "version 1.0.0 → 1.1.0" in told
    index = find_index(Folder(shop.prebuilt))
    assert [*index.releases["tiny"]] == ["1.1.0"]
    assert index.find("other", "1.0.0") == before
    assert [*pictures(shop.prebuilt)] == []


def refused(shop, capsys, *words):
    before = snapshot(shop.prebuilt)
    assert not shop.run(*words)
    assert snapshot(shop.prebuilt) == before
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("problem: ")]


def test_a_version_with_other_content_is_refused_unless_it_is_asked_for(shop, capsys):
    shop.run()
    shop.built["tiny"]["files"] = {**files_of(b"trained again"), **GOLDEN}
    (line,) = refused(shop, capsys)
    assert line.startswith("problem: tiny@1.0.0 has other content than before, and a published version never changes")
    assert shop.run("--same-version")


def test_pictures_a_large_registry_and_unreliable_times_are_refused(shop, capsys, monkeypatch):
    shop.run()
    shop.built["tiny"]["version"] = "1.1.0"
    shop.built["tiny"]["files"][GOLDEN_INPUT] = encoded(photo())
    shop.built["tiny"]["records"] = (measured(steady=False, release="tiny@1.1.0"),)
    monkeypatch.setattr(bench.prebuilt, "BUDGET", 1000)
    large, picture, times = refused(shop, capsys)
    assert "more than the budget of 0 MB" in large
    assert "golden/input.png is not the picture that zoo draws" in picture
    assert "times of tiny@1.1.0 on onnxruntime-cpu are unreliable (never became steady)" in times
    assert len(refused(shop, capsys, "--unsteady")) == 2


def test_paths_of_this_machine_are_refused(shop, capsys):
    shop.run()
    shop.built["tiny"] |= {"version": "1.1.0", "description": f"made in {Path.home()}/mine"}
    (line,) = refused(shop, capsys)
    assert line.endswith(f"contains the path {Path.home()}/")


def test_a_dry_run_replaces_nothing(shop, capsys):
    shop.run()
    before = snapshot(shop.prebuilt)
    shop.built["tiny"]["version"] = "1.1.0"
    assert shop.run("--dry-run")
    assert snapshot(shop.prebuilt) == before
    assert "--dry-run" in capsys.readouterr().out


def test_a_replacement_that_was_interrupted_is_repeated(tmp_path):
    for name in ("old", "fresh", ".old.new", ".old.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / INDEX).write_text(name)
    replace(tmp_path / "old", tmp_path / "fresh")
    assert (tmp_path / "old" / INDEX).read_text() == "fresh"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "old"]


def test_a_failed_build_ends_it_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    failed = Namespace(returncode=1)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    assert main(["--out", str(tmp_path / "prebuilt")]) == 1
    assert capsys.readouterr().err == "Error: resnet10t-toycars was not built, see above. Nothing was replaced.\n"
    assert not Path(tmp_path / "prebuilt").exists()
    assert json.dumps(bench.prebuilt.BUDGET) == "60000000"
