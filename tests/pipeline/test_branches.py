"""Branches that training needs are one convolution on the device, also where channels have gone."""

import pytest
import torch

from pipeline.method.allocation import channels_above
from pipeline.method.cost_model import CostModel
from pipeline.method.importance import position_scores
from pipeline.method.removal import remove_channels
from pipeline.method.settings import Compress
from pipeline.networks.branches import branched, fuse_branches
from pipeline.networks.build import Network
from pipeline.networks.cost import graph_cost, network_cost
from pipeline.networks.saved import load_deployed, load_network, save_network
from pipeline.networks.sites import find_sites
from pipeline.stages.export import deployed, write_graph
from tests.helpers import SMALL, alive_network, random_images, settle

FAMILIES = [
    "repvgg_a0",
    pytest.param("mobileone_s0", marks=pytest.mark.slow),
    "repghostnet_050",
    pytest.param("fastvit_t8", marks=pytest.mark.slow),
    pytest.param("repvit_m0_9", marks=pytest.mark.slow),
    pytest.param("lcnetv2_small", marks=pytest.mark.slow),
    pytest.param("ghostnetv3_050", marks=pytest.mark.slow),
]
IMAGES = torch.from_numpy(random_images(4)).permute(0, 3, 1, 2)


def embed(network):
    with torch.inference_mode():
        return torch.nn.functional.normalize(network.eval()(IMAGES))


def narrow(architecture):
    """A network that has lost some of all its channels, in training form."""
    network = alive_network(architecture, 2)
    sites = find_sites(network, "coupled")
    model = CostModel(network, sites, "macs")
    share = (1 + model.least()) / 2
    remove_channels(network, sites, channels_above(model, position_scores(sites), Compress(macs=share)))
    return settle(network)


@pytest.mark.parametrize("small", [False, True], ids=["dense", "small"])
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_fused_network_embeds_alike_and_is_saved_and_loaded(architecture, small, tmp_path):
    network = narrow(architecture) if small else alive_network(architecture, 2)
    assert branched(network)
    expected, cost = embed(network), network_cost(network, SMALL)
    fused = fuse_branches(network)
    assert not branched(fused)
    assert branched(network)  # the one for training stays
    assert (embed(fused) - expected).abs().max() < 1e-4
    after = network_cost(fused, SMALL)
    assert after.macs <= cost.macs
    assert after.parameters < cost.parameters
    about = Network(architecture=architecture, last_stride=2, embedding=16)
    save_network(tmp_path, fused, about, SMALL)
    loaded = load_network(tmp_path)
    assert torch.equal(embed(loaded), embed(fused))
    if architecture == "repvgg_a0":
        write_graph(deployed(loaded), random_images(4), 20, tmp_path / "model.onnx")
        assert graph_cost(tmp_path / "model.onnx").macs == after.macs


def test_a_dense_network_is_fused_for_the_device_and_not_before(tmp_path):
    network = alive_network("repvgg_a0", 2)
    save_network(tmp_path, network, Network(architecture="repvgg_a0", last_stride=2, embedding=16), SMALL)
    assert branched(load_network(tmp_path))
    assert not branched(load_deployed(tmp_path))


def test_what_holds_a_layer_whose_norm_is_gone_keeps_its_branches():
    network = alive_network("repvgg_a0", 2)
    first, *rest = branched(network)
    assert branched(network, {f"{first}.conv_kxk.conv"}) == rest


def test_a_network_without_branches_stays_the_same_one():
    network = alive_network("resnet10t", 2)
    assert fuse_branches(network) is network
