"""run.py in a separate process, as on a machine without zoo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calibration.quantize import write_half
from pipeline.data import decoding
from pipeline.data.decoding import open_rgb
from pipeline.data.images import read_image
from targets.contract import Job, make_target
from targets.onnxruntime import OnnxRuntime
from targets.settings import TargetSettings
from tests.helpers import random_images
from tests.kinds import draw_kinds
from tests.zoo.records import an_artifact
from tests.zoo.shelf import SIZE, write_graph
from zoo import layout
from zoo.documents import run as runner
from zoo.documents.runner import runner_source


def test_the_runner_reads_what_a_release_has():
    """It goes out as one file, so it can't import `zoo.layout`."""
    assert runner.GRAPH == layout.GRAPH
    assert (runner.PICTURE, runner.GOLDEN) == (runner.HERE / layout.GOLDEN_INPUT, runner.HERE / layout.GOLDEN_EMBEDDING)


def run(folder, *arguments, missing=()):
    """Run it from another folder, without any of our packages on the path."""
    code = (
        "import runpy, sys\n"
        f"for name in {('zoo', 'pipeline', 'targets', 'pydantic', *missing)!r}: sys.modules[name] = None\n"
        f"sys.argv = ['run.py', *{[str(one) for one in arguments]!r}]\n"
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment, check=False)


SHIPS = "onnxruntime-cpu/model.onnx"


@pytest.fixture
def folder(shelf, tmp_path):
    """A copy of the release that a test may damage."""
    return shutil.copytree(shelf.folder, tmp_path / "release")


def test_without_arguments_the_graph_and_shipped_artifacts_are_checked(shelf):
    result = run(shelf.folder)
    assert result.returncode == 0, result.stderr
    graph, ships = result.stdout.splitlines()
    assert graph == "graph/model.onnx (fp32): cosine to the golden embedding 1.000000; at least 0.999 expected"
    assert ships.startswith(f"{SHIPS} (int8): cosine to the golden embedding 0.99")


def test_without_its_runtime_an_artifact_is_reported_as_not_checked(shelf):
    result = run(shelf.folder, missing=["onnxruntime"])
    assert result.returncode == 0, result.stderr
    graph, ships = result.stdout.splitlines()
    assert graph.startswith("graph/model.onnx (fp32): cosine to the golden embedding 1.0000")
    assert ships == f"{SHIPS} (int8): not checked, it needs onnxruntime, which is not installed"
    assert run(shelf.folder, missing=["onnxruntime", "openvino"]).returncode == 1, "nothing was checked"


@pytest.mark.parametrize(("path", "precision"), [("graph/model.onnx", "fp32"), (SHIPS, "int8")])
def test_a_different_embedding_gives_exit_code_1(folder, path, precision):
    """Even if the graph is correct."""
    write_graph(folder / path, noise=0.5)
    result = run(folder)
    assert result.returncode == 1, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith(f"{path} ({precision})"))
    assert line.endswith(" expected")
    assert float(line.split("embedding ")[1].split(";")[0]) < 0.95


def test_an_artifact_that_fails_or_has_another_dimension_is_wrong(folder):
    (folder / SHIPS).write_bytes(b"no graph")
    result = run(folder)
    assert (result.returncode, len(result.stdout.splitlines())) == (1, 2)
    assert f"{SHIPS} (int8): does not run: " in result.stdout
    write_graph(folder / SHIPS, dimension=3)
    assert f"{SHIPS} (int8): cosine to the golden embedding 0.000000" in run(folder).stdout


def test_artifacts_of_other_runtimes_and_missing_ones_are_reported(folder):
    about = json.loads((folder / "manifest.json").read_text())
    about["artifacts"] += [
        an_artifact("network/network.safetensors"),
        an_artifact("jetson/model.engine", "int8", "jetson", "tensorrt"),
        an_artifact("jetson/engine.json", "int8", "jetson", "tensorrt"),
        an_artifact("openvino-cpu/model.xml", "fp16", "openvino-cpu", "openvino"),
        an_artifact("openvino-cpu/model.bin", "fp16", "openvino-cpu", "openvino"),
    ]
    (folder / "manifest.json").write_text(json.dumps(about))
    (folder / "jetson").mkdir()
    (folder / "jetson/model.engine").touch()
    result = run(folder)
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[2:] == [
        "jetson/model.engine (int8): not checked, it needs tensorrt, which is not installed",
        "openvino-cpu/model.xml (fp16): not checked, the file is not here",
    ]


@pytest.mark.parametrize("half", [False, True])
def test_an_artifact_of_openvino_is_computed_in_its_own_precision(folder, half):
    target = make_target(TargetSettings("openvino"))
    (folder / "openvino-cpu").mkdir()
    graph = folder / "graph/model.onnx"
    if half:
        write_half(graph, graph := folder / "half.onnx")
    target.compile(graph, folder / "openvino-cpu", Job(SIZE.height, SIZE.width, (1,)))
    precision = "fp16" if half else "fp32"
    about = json.loads((folder / "manifest.json").read_text())
    about["artifacts"].append(an_artifact("openvino-cpu/model.xml", precision, "openvino-cpu", "openvino"))
    (folder / "manifest.json").write_text(json.dumps(about))
    golden = json.loads((folder / "golden/embedding.json").read_text())
    (folder / "golden/embedding.json").write_text(
        json.dumps(golden | {"min_cosine": {"int8": 0.9, precision: 0.99, "fp32": 0.999}})
    )
    result = run(folder)
    assert result.returncode == 0, result.stdout
    assert f"openvino-cpu/model.xml ({precision}): cosine to the golden embedding " in result.stdout
    (line,) = run(folder, "--artifact", "openvino-cpu/model.xml", folder / "golden/input.png").stdout.splitlines()
    expected = target.load(folder / "openvino-cpu").embed(np.asarray(Image.open(folder / "golden/input.png"))[None])[0]
    assert json.loads(line)["embedding"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_images_are_embedded_by_the_named_artifact(shelf):
    picture = shelf.folder / "golden/input.png"
    result = run(shelf.folder, "--artifact", SHIPS, picture)
    expected = OnnxRuntime(TargetSettings("onnxruntime")).load((shelf.folder / SHIPS).parent)
    (row,) = expected.embed(np.asarray(Image.open(picture))[None])
    assert json.loads(result.stdout)["embedding"] == pytest.approx(row.tolist(), abs=1e-6)
    for name in ("golden/input.png", "none.onnx"):
        result = run(shelf.folder, "--artifact", name, picture)
        assert result.returncode == 1
        assert result.stderr == f"{name} is not an artifact of this release that onnxruntime or openvino can run\n"


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
def test_unreadable_input_is_reported_in_one_line(shelf, name):
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
    """By its own copy of the image reader, without importing ours."""
    known = {"__name__": "run", "__file__": str(tmp_path / "run.py")}
    exec(compile(runner_source(), "run.py", "exec"), known)
    kinds = draw_kinds(tmp_path)
    for one in kinds.values():
        expected, found = open_rgb(one.path), known["open_rgb"](one.path)
        assert found.changes == expected.changes
        np.testing.assert_array_equal(np.asarray(found.image), np.asarray(expected.image))
    assert type(found) is not type(expected)


def test_a_rotated_photo_has_the_embedding_of_the_upright_one(shelf, tmp_path):
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
    """Short, apart from the image reader, which is a separate file here."""
    source = (shelf.folder / "run.py").read_text()
    assert len(source.splitlines()) - len(Path(decoding.__file__).read_text().splitlines()) < 110
    ours = ("zoo", "pipeline", "targets", "calibration")
    imported = [line.split()[1] for line in source.splitlines() if line.split()[:1] in (["import"], ["from"])]
    assert imported
    assert not [name for name in imported if name.split(".")[0] in ours]
