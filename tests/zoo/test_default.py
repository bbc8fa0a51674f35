"""Promises of the default model. Builds it in the checkout, like `make demo`, unless that was done already."""

from pathlib import Path

import pytest
import torch

from pipeline.data.dataset import open_dataset
from pipeline.networks.factory import build_network
from pipeline.retrieval.evaluate import evaluate_network
from tests.conftest import Workshop
from tests.helpers import REAL_DATA
from zoo.catalogue import load_catalogue
from zoo.release.local import read_release
from zoo.release.reading import read_manifest

TOP = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_default_saves_two_fifths_of_macs_within_two_points_of_its_teacher():
    shop = Workshop(TOP)
    shop.build("resnet10t-toycars")
    release = read_release(shop.home / "releases" / "resnet10t-toycars" / "1.0.0" / "manifest.json")
    manifest = release.manifest
    assert manifest.compression.after.macs <= 0.6 * manifest.compression.before.macs
    for target in {one.target for one in release.measured}:
        rows = release.on(target)
        (shipped,) = [row for row in rows if row.ships]
        assert shipped.accuracy.map >= rows[0].accuracy.map - 2
        assert shipped.latency[0].calls >= 459

    catalogue = load_catalogue()
    recipe = catalogue.recipe("resnet10t-toycars")
    data = open_dataset("toycars", catalogue.datasets["toycars"], TOP, shop.home / "data")
    torch.manual_seed(0)
    untrained = build_network(recipe.network, recipe.input)
    before = evaluate_network(untrained, data.query, data.gallery, recipe.input, "cpu").map
    assert before < 0.5 * manifest.accuracy.teacher.map
    assert manifest.accuracy.teacher.map < 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not (REAL_DATA / "hcmc").is_dir(), reason="the hcmc data set is not here (ZOO_TEST_DATA)")
def test_real_vehicles(tmp_path):
    shop = Workshop(TOP)
    shop.build("resnet18-hcmc", "--target", "openvino-cpu", "--data-root", str(REAL_DATA))
    manifest = read_manifest(shop.home / "releases" / "resnet18-hcmc" / "1.0.0" / "manifest.json")
    assert manifest.compression.after.macs <= 0.6 * manifest.compression.before.macs
    assert manifest.accuracy.student.map >= manifest.accuracy.teacher.map - 2
    assert manifest.provenance.seconds < 25 * 60
