"""`zoo site`: from the releases of this machine, and from a registry."""

import json
import shutil

import pytest

from pipeline.progress import Silent
from tests.zoo.records import keep, measurement, release
from tests.zoo.site.sources import RECIPE
from zoo.home import Home
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish, yank
from zoo.release.local import read_all


@pytest.fixture
def home(workshop):
    keep(
        workshop.home,
        release("one", records=[measurement(4, 78)], recipe=RECIPE),
        release("two", records=[measurement(5, 80)]),
    )
    return Home(workshop.home)


def test_releases_of_this_machine(workshop, home):
    result = workshop.zoo("site", str(workshop.root / "out"))
    assert result.exit_code == 0, result.output
    assert "2 releases, 2 measurements" in result.stdout
    assert "python3 -m http.server" in result.stdout
    assert "not published" in (workshop.root / "out" / "release" / "one@1.0.0.html").read_text()
    assert str(workshop.root) not in "".join(path.read_text() for path in (workshop.root / "out").rglob("*.html"))


def test_releases_that_come_with_zoo_are_beside_those_of_this_machine(workshop, home, tmp_path, monkeypatch):
    for one in read_all(home).releases:
        bare = one.manifest.model_copy(update={"artifacts": [], "documents": []})
        one.path.write_text(bare.model_dump_json())
    for one in read_all(home).releases:
        publish(one, Folder(tmp_path / "prebuilt"), None, Silent())
    shutil.rmtree(home.releases / "one")
    monkeypatch.setenv("ZOO_PREBUILT", str(tmp_path / "prebuilt"))

    def shown(*options):
        result = workshop.zoo("site", str(workshop.root / "out"), *options)
        assert result.exit_code == 0, result.output
        return {path.name: path.read_text() for path in (workshop.root / "out" / "release").iterdir()}

    pages = shown()
    assert "zoo pull one@1.0.0" in pages["one@1.0.0.html"]
    assert "not published" in pages["two@1.0.0.html"]
    assert list(shown("--local")) == ["two@1.0.0.html"]


def test_a_registry_with_a_withdrawn_and_a_damaged_release(workshop, home, tmp_path):
    place = Folder(tmp_path / "registry")
    for one in read_all(home).releases:
        bare = one.manifest.model_copy(update={"artifacts": [], "documents": []})
        path = one.path
        path.write_text(bare.model_dump_json())
    for one in read_all(home).releases:
        publish(one, place, None, Silent())
    yank(place, "one", "1.0.0", "its data were wrong")
    index = json.loads((tmp_path / "registry" / "index.json").read_text())
    blob = index["releases"]["two"]["1.0.0"]["manifest"]["sha256"]
    (tmp_path / "registry" / "blobs" / blob[:2] / blob).unlink()
    result = workshop.zoo("site", str(workshop.root / "out"), "--registry", str(tmp_path / "registry"), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["releases"], told["measurements"]) == (1, 1)
    assert list(told["not_shown"]) == ["two@1.0.0"]
    page = (workshop.root / "out" / "release" / "one@1.0.0.html").read_text()
    assert "its data were wrong" in page
    assert "zoo pull one@1.0.0<" in page, "a folder of this machine is no address for others"
    assert str(tmp_path) not in (workshop.root / "out" / "index.html").read_text().split("Not shown")[0]


def test_refusals_come_before_the_work(workshop, home):
    assert "does not exist" in workshop.refused("site", str(workshop.root / "no" / "out"))
    (workshop.root / "mine").mkdir()
    (workshop.root / "mine" / "a.txt").write_text("a")
    assert "Name another folder" in workshop.refused("site", str(workshop.root / "mine"))
    assert "is not a registry" in workshop.refused("site", str(workshop.root / "out"), "--registry", str(workshop.root))
    assert not (workshop.root / "out").exists()
    assert workshop.zoo("site", "out", "--local", "--registry", "x").exit_code == 2


def test_it_can_be_opened(workshop, home, monkeypatch):
    opened = []
    monkeypatch.setattr("click.launch", opened.append)
    assert workshop.zoo("site", str(workshop.root / "out"), "--open").exit_code == 0
    assert opened == [f"{(workshop.root / 'out').as_uri()}/index.html"]
