"""The network of a release as the start of another training."""

import json

import pytest
import torch
from torch import nn

from pipeline.data.dataset import open_dataset
from pipeline.data.images import read_batches
from pipeline.errors import WeightsError
from pipeline.method.widths import Narrowing, full_widths, try_narrow
from pipeline.networks.factory import Network
from pipeline.networks.released import Released, released_network, structure
from pipeline.networks.serialization import load_network, save_network
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network, draw_vehicles
from tests.pipeline.test_data import VERI


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    draw_vehicles(root / "veri")
    return open_dataset("veri", VERI, root, root / "drawn").train


def half(sites):
    """Half of the channels of each site, and none of the last branch that may go."""
    kept = {site.writer: max(1, site.channels // site.chunks // 2) * site.chunks for site in sites}
    ends = [site.writer for site in sites if site.branch]
    return kept | ({ends[-1]: 0} if len(ends) > 1 else {})


def release(folder, architecture, stride, which="coupled"):
    """Write a compacted network as a release has it: norms folded, channels and a branch removed, branches fused."""
    dense = alive_network(architecture, stride)
    sites = find_sites(dense, which)
    small = Narrowing(dense, sites).of(half(sites))
    folder.mkdir()
    network = Network(architecture=architecture, last_stride=stride, embedding=16)
    save_network(folder, small, network, SMALL)
    return Released.of(folder), network


def embed(network, images):
    with torch.no_grad():
        return network.eval()(images)


def norms(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}


SLOW = [("resnet10t", 1), ("repvgg_a0", 2), ("regnetz_005", 2)]
FAMILIES = [("tf_efficientnet_lite0", 2), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]


@pytest.mark.parametrize(("architecture", "stride"), FAMILIES)
def test_it_computes_as_in_the_release_and_has_norms_and_sites_again(tmp_path, samples, architecture, stride):
    files, network = release(tmp_path / "network", architecture, stride)
    known, found = load_network(tmp_path / "network"), released_network(files, SMALL, samples, seed=0)
    images = torch.from_numpy(next(read_batches(samples, SMALL, 16))).permute(0, 3, 1, 2)
    assert torch.allclose(embed(found, images), embed(known, images), atol=1e-4)
    assert len(norms(found)) > len(norms(known)) or found.fused
    assert all(norm.running_var.isfinite().all() for norm in norms(found).values())
    alike = structure(network, SMALL, files.layers)
    assert {name: value.shape for name, value in alike.state_dict().items()} == {
        name: value.shape for name, value in found.state_dict().items()
    }
    try_narrow(found.eval(), find_sites(found, "coupled"))  # it can be pruned once more
    (tmp_path / "again").mkdir()
    save_network(tmp_path / "again", found, network, SMALL)
    assert torch.equal(embed(load_network(tmp_path / "again"), images), embed(found, images))


def test_restored_norms_have_the_statistics_of_the_new_images(tmp_path, samples):
    files, _ = release(tmp_path / "network", "resnet10t", 1)
    found = released_network(files, SMALL, samples, seed=0).eval()
    back = [name for name in norms(found) if name not in norms(load_network(tmp_path / "network"))]
    assert back
    seen = {}
    for name in back:
        found.get_submodule(name).register_forward_pre_hook(lambda _m, given, name=name: seen.update({name: given[0]}))
    images = torch.from_numpy(next(read_batches(samples, SMALL, len(samples)))).permute(0, 3, 1, 2)
    with torch.no_grad():
        found(images)
    for name in back:
        norm, values = norms(found)[name], seen[name].transpose(0, 1).flatten(1)
        assert torch.allclose(norm.running_mean, values.mean(1), atol=1e-4)
        assert torch.allclose(norm.running_var, values.var(1, unbiased=False), atol=1e-4)


def test_a_trained_head_stays_where_a_new_one_would_be_drawn():
    network = alive_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Classified(network, 8, "kaiming", trained=True)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    Classified(network, 8, "kaiming")
    assert not torch.equal(network.state_dict()["head.2.weight"], before["head.2.weight"])


def test_without_a_release_it_is_the_network_of_the_recipe():
    network = Network(architecture="resnet10t", embedding=16)
    assert full_widths(find_sites(structure(network, SMALL, None))) == full_widths(find_sites(alive_network()))


def spoil_key(about):
    about["layers"]["backbone.layer9.0.conv1"] = {"weight": [4, 4, 3, 3]}


def spoil_field(about):
    about["rotation"] = 90


def spoil_shape(about):
    name = next(name for name in about["layers"] if name.endswith("conv1"))
    about["layers"][name]["weight"][0] += 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(spoil_key, "does not fit timm's resnet10t"), (spoil_field, "rotation: Extra"), (spoil_shape, "does not match")],
)
def test_a_description_that_does_not_fit_is_refused_in_a_line(tmp_path, samples, spoil, told):
    files, _ = release(tmp_path / "network", "resnet10t", 1, "spatial")
    about = json.loads(files.layers.read_text())
    spoil(about)
    files.layers.write_text(json.dumps(about))
    with pytest.raises(WeightsError, match=told) as error:
        released_network(files, SMALL, samples, seed=0)
    assert "\n" not in str(error.value)
