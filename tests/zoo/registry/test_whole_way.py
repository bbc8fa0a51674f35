"""Three releases of the shipped recipes end to end: published, pulled to another home, verified, used, compared.

The recipes are trained briefly on a few drawn images; otherwise the published releases are complete.
"""

import importlib.util
import json
import re

import numpy as np
import pytest

from tests.conftest import Workshop
from tests.helpers import draw_vehicles
from tests.zoo.registry.samples import tree

CATALOGUE = """\
datasets:
  toycars: &drawn
    path: drawn
    license: CC0-1.0
    pattern: '(?P<identity>\\d+)_c(?P<camera>\\d+)_\\d+_\\d+\\.jpg$'
    train: {folder: image_train}
    query: {folder: image_query}
    gallery: {folder: image_test}
  hcmc: *drawn
"""
SHORT = (
    "input={height: 32, width: 32}", "sampling={identities: 4, images: 2, pad: 2}", "gate={identities: 2}",
    "teacher.epochs=1",
    "distill.epochs=2", "distill.rggr.bank=16", "targets=[onnxruntime-cpu]", "precision=int8",
    "calibrate={images: 16, min_images: 8, max_map_drop_points: 100}",
    "measure={batches: [1], calls: 10, max_seconds: 0.1, dense: [fp32]}",
)  # fmt: skip
RELEASES = ("resnet10t-toycars@1.0.0", "resnet10t-toycars@1.1.0", "resnet18-hcmc@1.0.0")


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    """Where all three were built."""
    shop = Workshop(tmp_path_factory.mktemp("maker"))
    shop.catalogue.write_text(CATALOGUE)
    draw_vehicles(shop.root / "data/drawn", train=10)
    for label in RELEASES:
        name, _, version = label.partition("@")
        changed = (f"version={version}", f"calibrate.images={16 if version == '1.0.0' else 20}")
        shop.build(name, *(word for one in (*SHORT, *changed) for word in ("--set", one)))
    return shop


def elsewhere(root, registry):
    """Another home, with nothing of the build in it: no data, no store."""
    root.mkdir()
    shop = Workshop(root)
    shop.catalogue.write_text(f"registry: {{url: '{registry}'}}\n")
    return shop


def done(result):
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "kind", ["folder", "http", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("s3", "oci"))]
)
def test_published_pulled_verified_used_and_compared(maker, kind, request, tmp_path, serve):
    registry = tmp_path / "registry"
    to = request.getfixturevalue(f"{kind}_url") if kind in ("s3", "oci") else str(registry)
    for label in RELEASES:
        assert f"published: {label} in {to}, 3 measurements" in done(maker.zoo("publish", label, "--registry", to))
    assert "already" in done(maker.zoo("publish", RELEASES[0], "--registry", to))
    away = elsewhere(tmp_path / "away", serve(registry) if kind == "http" else to)

    for label in RELEASES:
        name, _, version = label.partition("@")
        pulled = json.loads(done(away.zoo("pull", label, "--json")))
        assert (pulled["manifest"]["name"], pulled["manifest"]["version"]) == (name, version)
        assert len(pulled["measurements"]) == 3
        assert "0 damaged" in done(away.zoo("verify", label))
    newest = json.loads(done(away.zoo("pull", "resnet10t-toycars@^1.0", "--json")))
    assert newest["manifest"]["version"] == "1.1.0"

    images = maker.root / "data/drawn/image_query"
    for label in RELEASES:
        rows = {}
        for shop, name in ((maker, "made.npz"), (away, "pulled.npz")):
            out = tmp_path / name
            done(shop.zoo("embed", str(images), "-o", str(out), "-m", label, "-t", "onnxruntime-cpu"))
            with np.load(out, allow_pickle=False) as file:
                rows[name] = file["embeddings"]
        assert np.array_equal(rows["made.npz"], rows["pulled.npz"])
    asked = ("--gallery", str(images), "--model", RELEASES[2], "--sheet", str(tmp_path / "s.png"), "--json")
    query = next(images.iterdir())
    found = json.loads(done(away.zoo("query", str(query), *asked)))
    assert found["nearest"][0]["path"] == query.name
    assert (tmp_path / "s.png").stat().st_size > 1000

    tables = json.loads(done(away.zoo("compare", *RELEASES, "--json")))["tables"]
    rows = [row for one in tables for row in one["rows"]]  # type: ignore[assignment]
    assert {row["model"] for row in rows} == {*RELEASES}
    assert len(rows) == 9
    assert "regressions" in away.zoo("diff", *RELEASES[:2]).stdout
    assert "resnet18-hcmc@1.0.0" in done(away.zoo("list"))
    assert not [path for path in tree(away.home) if "store" in path.split("/")]


@pytest.fixture
def plainly_built(maker):
    """The last release as if its recipe had been built as it stands; the command that its manifest tells."""
    manifest = maker.home / "releases" / RELEASES[2].replace("@", "/") / "manifest.json"
    content = manifest.read_bytes()
    values = json.loads(content)
    values["provenance"]["command"] = "zoo build resnet18-hcmc --target onnxruntime-cpu"
    manifest.write_text(json.dumps(values))
    yield values["provenance"]["command"]
    manifest.write_bytes(content)


def test_a_missing_target_is_reported_with_its_build_plan(maker, plainly_built, tmp_path, monkeypatch):
    # ten drawn vehicles are too few for the gate of the recipe as it stands
    monkeypatch.setattr("zoo.building.build.hold_out", lambda data, *_: data)
    registry = ("--registry", str(tmp_path / "registry"))
    command = f"{plainly_built} --target jetson-orin-nano"
    maker.zoo("publish", RELEASES[2], *registry)
    told = maker.zoo("pull", RELEASES[2], "--target", "jetson", *registry).stderr
    assert f"what {command} would do:\n" in told
    assert re.search(r"^teacher +\w{12}  runs: ", told, re.MULTILINE)  # of the recipe as it stands, not for a moment
    assert re.search(r"^bundle/jetson-orin-nano ", told, re.MULTILINE)
    assert told.splitlines()[-1].startswith("Error: resnet18-hcmc@1.0.0 has nothing prebuilt for jetson-orin-nano;")
    away = elsewhere(tmp_path / "away", registry[1])
    told = away.zoo("pull", RELEASES[2], "--target", "jetson").stderr
    assert told.startswith("Error: resnet18-hcmc@1.0.0 has nothing prebuilt for jetson-orin-nano;")
    assert f"{command} would fail here: " in told
    assert "Build it" not in told
    assert not (away.home / "pulled").exists()


def test_without_torch_a_missing_target_is_reported_before_a_data_set_is_drawn(maker, tmp_path, monkeypatch):
    registry = str(tmp_path / "registry")
    maker.zoo("publish", RELEASES[0], "--registry", registry)
    away = elsewhere(tmp_path / "away", registry)  # with the shipped data set, which is drawn
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "torch" else found(name, *more))
    told = away.refused("pull", RELEASES[0], "--target", "jetson")
    assert "zoo bench resnet10t-toycars@1.0.0 --target jetson-orin-nano. zoo build" in told
    assert "would need torch, which is not installed: pip install" in told
    assert not (away.home / "data").exists()
