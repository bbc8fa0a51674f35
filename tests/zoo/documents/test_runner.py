"""run.py in a process of its own, as on a machine without zoo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import decoding
from pipeline.data.decoding import open_rgb
from pipeline.data.images import read_image
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.helpers import random_images
from tests.kinds import draw_kinds
from tests.zoo.shelf import SIZE, write_graph
from zoo.documents.runner import runner_source


def run(folder, *arguments, missing=()):
    """Run it from elsewhere, without any of our packages on the path."""
    code = (
        "import runpy, sys\n"
        f"for name in {('zoo', 'pipeline', 'targets', 'pydantic', *missing)!r}: sys.modules[name] = None\n"
        f"sys.argv = ['run.py', *{[str(one) for one in arguments]!r}]\n"
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment, check=False)


@pytest.mark.parametrize("missing", [(), ("onnxruntime",)], ids=["onnxruntime", "openvino"])
def test_without_arguments_it_finds_the_golden_embedding_again(shelf, missing):
    result = run(shelf.folder, missing=missing)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("cosine to the golden embedding: 1.0000")


def test_a_machine_that_computes_something_else_is_told_by_the_exit_code(shelf, tmp_path):
    folder = shutil.copytree(shelf.folder, tmp_path / "release")
    write_graph(folder / "graph/model.onnx", noise=0.5)
    result = run(folder)
    assert result.returncode == 1, result.stderr
    assert "at least 0.999 is right" in result.stdout


def test_images_of_any_size_and_mode_are_embedded_a_line_each(shelf, tmp_path):
    golden = json.loads((shelf.folder / "golden/embedding.json").read_text())["embedding"]
    names = [tmp_path / "ä b.png", tmp_path / "grey.png"]
    shutil.copy(shelf.folder / "golden/input.png", names[0])
    Image.new("L", (3 * SIZE.width, 50), 90).save(names[1])
    result = run(shelf.folder, *names)
    assert result.returncode == 0, result.stderr
    first, second = map(json.loads, result.stdout.splitlines())
    assert [first["image"], second["image"]] == list(map(str, names))
    assert first["embedding"] == pytest.approx(golden, abs=1e-5)
    assert np.linalg.norm(second["embedding"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["none.jpg", "golden", "run.py"])
def test_what_it_can_not_read_is_told_in_a_line(shelf, name):
    result = run(shelf.folder, shelf.folder / name)
    assert result.returncode == 1
    assert result.stderr.startswith(f"can't read {shelf.folder / name}: ")
    assert len(result.stderr.splitlines()) == 1


def test_it_says_how_it_is_used(shelf):
    assert "python run.py a.jpg b.jpg" in run(shelf.folder, "--help").stdout


def test_it_reads_and_resizes_images_as_evaluation_does(shelf, tmp_path):
    Image.fromarray(random_images(1)[0]).resize((97, 71), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    result = run(shelf.folder, tmp_path / "large.png")
    session = OnnxRuntime(TargetSettings("onnxruntime")).load(shelf.folder / "graph")
    (expected,) = session.embed(read_image(tmp_path / "large.png", SIZE)[None])
    assert json.loads(result.stdout)["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_it_reads_files_of_every_kind_as_evaluation_does(tmp_path):
    """Of its own copy of the code that reads: nothing of ours is imported."""
    known = {"__name__": "run", "__file__": str(tmp_path / "run.py")}
    exec(compile(runner_source(), "run.py", "exec"), known)
    kinds = draw_kinds(tmp_path)
    for one in kinds.values():
        expected, found = open_rgb(one.path), known["open_rgb"](one.path)
        assert found.changes == expected.changes
        np.testing.assert_array_equal(np.asarray(found.image), np.asarray(expected.image))
    assert type(found) is not type(expected)


def test_a_turned_photo_has_the_embedding_of_the_upright_one(shelf, tmp_path):
    pixels = random_images(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels, -1))).save(tmp_path / "upright.png")
    one, other = map(
        json.loads, run(shelf.folder, tmp_path / "turned.png", tmp_path / "upright.png").stdout.splitlines()
    )
    assert one["embedding"] == other["embedding"]


def test_it_is_short_and_imports_nothing_of_ours(shelf):
    """Short beside the code that reads images, which is a file of its own here."""
    source = (shelf.folder / "run.py").read_text()
    assert len(source.splitlines()) - len(Path(decoding.__file__).read_text().splitlines()) < 50
    ours = ("zoo", "pipeline", "targets", "calibration")
    imported = [line.split()[1] for line in source.splitlines() if line.split()[:1] in (["import"], ["from"])]
    assert imported
    assert not [name for name in imported if name.split(".")[0] in ours]
