"""The releases in prebuilt/: whole, small, without anybody's photos, and with figures that can be measured again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from bench.pictures import pictures
from bench.prebuilt import BUDGET, MODELS, total
from pipeline.progress import Silent
from targets.files import sha256
from tests.zoo.registry.samples import tree
from zoo.catalogue import Catalogue, read_catalogue
from zoo.catalogue.catalogue import STUDY
from zoo.home import Home
from zoo.layout import SCHEMA
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.listing import offered
from zoo.registry.places.shipped import Shipped
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage, missing
from zoo.release.local import Release, find_release
from zoo.use.golden import read_golden

TOP = Path(__file__).parents[1]
PREBUILT = TOP / "prebuilt"
there = pytest.mark.skipif(
    not (PREBUILT / "index.json").exists(), reason="prebuilt/ has no releases in this checkout: make prebuilt"
)


def registry(home: Home) -> Registry:
    return Registry([Shipped(PREBUILT)], Cache(home.cache))


@pytest.fixture(scope="module")
def pulled(tmp_path_factory) -> tuple[Home, list[Release]]:
    """Every release, with all of its files."""
    home = Home(tmp_path_factory.mktemp("prebuilt"))
    found = offered(registry(home), lambda _: None)
    assert found.damaged == {}
    everything = chooser(None)
    return home, [pull(registry(home), home, one.manifest.label, everything, Silent()) for one in found.releases]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(None)


@there
def test_every_byte_is_as_the_manifests_say(pulled):
    _, releases = pulled
    assert releases
    for release in releases:
        assert [*damage(release)] == []
        assert missing(release) == []
        assert release.schema == SCHEMA
        assert read_golden(release.path.parent) is not None


@there
def test_each_blob_has_the_name_of_its_content():
    for path in tree(PREBUILT / "blobs"):
        assert sha256(PREBUILT / "blobs" / path) == Path(path).name


def test_all_files_are_within_the_budget():
    assert total(PREBUILT) <= BUDGET == 60_000_000


@there
def test_no_file_holds_a_picture_of_a_data_set():
    assert [*pictures(PREBUILT)] == []


@there
def test_the_models_are_those_of_the_list_and_the_catalogue_builds_them(pulled, catalogue):
    _, releases = pulled
    assert sorted({release.manifest.name for release in releases}) == sorted(model.name for model in MODELS)
    for release in releases:
        name = release.manifest.name
        assert catalogue.recipe(name).version == release.manifest.version
        assert not name.startswith(STUDY)
    assert catalogue.default in {release.manifest.name for release in releases}


@there
def test_each_is_measured_here_and_its_other_targets_are_only_estimated(pulled):
    _, releases = pulled
    models = {model.name: model for model in MODELS}
    for release in releases:
        here = {one.target for one in release.measured}
        assert {"openvino-cpu", "onnxruntime-cpu"} <= here
        assert {one.target for one in release.estimated} <= {*models[release.manifest.name].targets} - here
        assert release.pending == []
        assert all(any(one.counts for one in release.on(target) if one.ships) for target in here)
        assert all(not one.throttled for one in release.measured)


@there
def test_no_license_is_missing(pulled):
    _, releases = pulled
    for release in releases:
        assert [part for part, terms in release.manifest.licenses if terms == "not stated"] == []


def test_the_wheel_has_a_copy():
    settings = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert settings["force-include"]["prebuilt"] == "zoo/prebuilt"
    attributes = (TOP / ".gitattributes").read_text()
    assert "prebuilt/blobs/** -text" in attributes, "git must not change ends of lines in them"


@there
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_every_figure_is_within_its_tolerance(name, pulled, catalogue):
    """Cosines to the golden embedding always; accuracy where the data set is at hand (`ZOO_TEST_DATA`; drawn ones
    always); times on the machine that measured them, if it is idle.

    In a process of its own, since these tests count unsteady times, too.
    """
    home, _ = pulled
    data_root = Path(os.environ.get("ZOO_TEST_DATA", "data"))
    environment = {**os.environ, "ZOO_HOME": str(home.root), "ZOO_PREBUILT": str(PREBUILT), "ZOO_QUIET_SECONDS": "120"}
    environment |= {"PYTHONPATH": str(TOP), "ZOO_DATA": str(data_root.absolute()), "ZOO_CATALOGUE": f"{TOP}/zoo.yaml"}
    environment.pop("ZOO_REGISTRY", None)
    command = [sys.executable, "-m", "zoo", "verify", name, "--measure", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    figures = told["figures"]
    assert (told["damage"], told["missing"], told["unchecked"]) == ([], [], None)
    assert "cosine" in {one["figure"] for one in figures}
    assert [one for one in figures if one["verdict"] == "outside"] == []
    dataset = catalogue.datasets[find_release(home, name).manifest.data.name]
    if not dataset.draw and not (data_root / dataset.path).is_dir():
        pytest.skip(f"accuracy was not repeated, everything else was: {dataset.path} is not in ZOO_TEST_DATA")
    judged = {(one["target"], one["precision"]) for one in figures if one["figure"] == "map" and one["low"] is not None}
    assert {("openvino-cpu", "fp32"), ("onnxruntime-cpu", "fp32")} <= judged
