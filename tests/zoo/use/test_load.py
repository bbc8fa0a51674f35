"""`zoo.load` by name or folder, for any current folder and catalogue."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import calibration.errors
import pipeline.errors
import targets.errors
import zoo
import zoo.errors
from tests.conftest import Workshop
from zoo.errors import ManifestError, NothingRuns, ZooError


@pytest.fixture
def away(finished, tmp_path, monkeypatch):
    """A folder without any reference to the release."""
    for name in ("ZOO_HOME", "ZOO_CATALOGUE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    return finished


def image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture
def expected(away, monkeypatch):
    return zoo.load("tiny", "onnxruntime-cpu", home=away.home).embed(image())


@pytest.mark.parametrize("catalogue", [None, "nonsense: [", "targets: {onnxruntime-cpu: {runtime: openvino}}\n"])
def test_a_home_or_a_folder_is_enough(away, expected, catalogue):
    """A local zoo.yaml that is broken, or defines the same names differently, has no effect."""
    if catalogue:
        Path("zoo.yaml").write_text(catalogue)
    folder = away.home / "releases/tiny/1.0.0"
    for name, home in (("tiny", away.home), ("tiny", str(away.home)), (folder, None), (str(folder), None)):
        model = zoo.load(name, "onnxruntime-cpu", home=home)
        assert (model.release, model.runtime) == ("tiny@1.0.0", "onnxruntime")
        assert np.array_equal(model.embed(image()), expected)


def test_a_relative_folder_is_relative_to_the_current_one(away, expected, monkeypatch):
    monkeypatch.chdir(away.home / "releases/tiny")
    for name in ("./1.0.0", Path("1.0.0")):
        assert np.array_equal(zoo.load(name, "onnxruntime-cpu").embed(image()), expected)
    with pytest.raises(ManifestError, match="no release '1.0.0'"):
        zoo.load("1.0.0")


def test_a_copy_of_a_release_runs_anywhere(away, expected, tmp_path):
    copy = shutil.copytree(away.home / "releases/tiny/1.0.0", tmp_path / "copy")
    assert np.array_equal(zoo.load(copy, "onnxruntime-cpu").embed(image()), expected)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(ManifestError, match=r"is damaged: .* Copy the release again from its source\.$"):
        zoo.load(copy)


def test_a_removed_current_folder_does_not_matter(away, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert zoo.load("tiny", home=away.home).embed(image()).shape == (1, 16)
    with pytest.raises(ManifestError, match="no release 'tiny'"):
        zoo.load("tiny")


def test_errors_have_the_documented_types(away, tmp_path, monkeypatch):
    folder = away.home / "releases/tiny/1.0.0"
    with pytest.raises(ManifestError, match=r"is not a release: it has no manifest.json\. Name the folder"):
        zoo.load(tmp_path)
    Path("zoo.yaml").write_text("nonsense: [")
    with pytest.raises(ManifestError, match=r"no release 'none' .* The catalogue can't be read: zoo.yaml:1"):
        zoo.load("none", home=away.home)
    with pytest.raises(NothingRuns, match="has nothing compiled for 'nothing'"):
        zoo.load(folder, "nothing")
    for threads in (0, 1.5, "2"):
        with pytest.raises(ZooError, match="threads must be an integer of at least 1"):
            zoo.load(folder, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(ManifestError, match="or a folder, not int"):
        zoo.load(3)  # type: ignore[arg-type]
    monkeypatch.setattr("zoo.use.sessions.sha256", lambda path: (_ for _ in ()).throw(PermissionError(13, "no", path)))
    with pytest.raises(ManifestError, match="can't read .*: no. Check its owner and mode"):
        zoo.load(folder)
    monkeypatch.setattr("zoo.use.sessions.sha256", lambda _: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        zoo.load(folder)


@pytest.mark.parametrize("name", ["pipeline", "calibration", "targets"])
@pytest.mark.parametrize("kind", ["file", "package"])
def test_a_users_file_that_shadows_a_package_is_named(tmp_path, name, kind):
    """And is not run."""
    file = tmp_path / (f"{name}.py" if kind == "file" else f"{name}/__init__.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("print('it ran')\n")
    (tmp_path / "mine.py").write_text("import zoo\nzoo.load('x')\n")
    root = str(Path(zoo.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    for command in (["mine.py"], ["-m", "zoo", "list"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        told = done.stderr.strip().splitlines()[-1]
        assert f"zoo needs its own package {name}, but Python finds {file} first. Rename that" in told
        assert done.returncode == 1
        assert not done.stdout


def test_one_root_catches_every_error_that_a_user_can_fix():
    for module in (targets.errors, calibration.errors, pipeline.errors, zoo.errors):
        found = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Exception)]
        assert len(found) > 2
        assert all(issubclass(one, zoo.ZooError) for one in found)


def test_the_public_api_is_listed_and_exists():
    assert zoo.__all__ == sorted(zoo.__all__)
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
        assert name in dir(zoo)
    with pytest.raises(zoo.ZooError):
        zoo.load("no-such-release", home="nowhere")


def test_a_folder_without_python_files_shadows_nothing(tmp_path):
    (tmp_path / "pipeline").mkdir()
    code = "import zoo, pipeline; print(pipeline.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CLASHES = [
    ("graph", "a release already has a file or folder graph"),
    ("Network", "a release already has a file or folder network"),
    ("measurements", "a release already has a file or folder measurements"),
    ("manifest.json", "a release already has a file or folder manifest.json"),
    ("README.md", "a release already has a file or folder readme.md"),
    ("nul", "some systems do not allow files of this name"),
    ("board.", "some systems do not allow files of this name"),
    ("OpenVINO-CPU", "some systems can't distinguish it from 'openvino-cpu'"),
]


@pytest.mark.parametrize(("name", "told"), CLASHES)
def test_targets_that_clash_with_a_releases_own_folders_are_refused(tmp_path, name, told):
    shop = Workshop(tmp_path)
    shop.catalogue.write_text(f"targets:\n  {name}: {{runtime: onnxruntime}}\n")
    message = shop.refused("build", "resnet50-veri", "--target", name)
    assert f"targets.{name}: {told}" in message
    assert message.startswith("zoo.yaml:2: ") or f"{shop.catalogue}:2: " in message


def test_model_names_that_are_invalid_on_some_system_are_refused(tmp_path):
    shop = Workshop(tmp_path)
    shop.catalogue.write_text("models:\n  con: {base: resnet50-veri}\n")
    assert "models.con: some systems do not allow files of this name" in shop.refused("build", "con")


def test_all_own_names_of_a_release_are_known(finished):
    from zoo.layout import KEPT, OWN_NAMES

    folder = finished.home / "releases/tiny/1.0.0"
    targets = {a["target"] for a in json.loads((folder / "manifest.json").read_text())["artifacts"]} - {None}
    assert {path.name.casefold() for path in folder.iterdir()} - targets == {*OWN_NAMES} - {*KEPT.values()}
