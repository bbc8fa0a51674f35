"""Training branches are fused to one convolution on the device, also after removal of channels."""

import pytest
import torch

from pipeline.data.images import Input
from pipeline.method.allocation import channels_above
from pipeline.method.compactor import insert_compactors
from pipeline.method.compress import Compress
from pipeline.method.cost_model import CostModel
from pipeline.method.importance import position_scores
from pipeline.method.merge import merge_site, prune_network
from pipeline.method.removal import remove_channels
from pipeline.method.widths import Narrowing
from pipeline.networks.branches import branched, fuse_branches
from pipeline.networks.cost import graph_cost, network_cost
from pipeline.networks.factory import Network
from pipeline.networks.layers import Constant
from pipeline.networks.serialization import load_deployed, load_network, save_network
from pipeline.stages.export import deployed, write_graph
from tests.helpers import SMALL, alive_network, least_share, random_images, settle, sites_of

FAMILIES = [
    pytest.param("repvgg_a0", marks=pytest.mark.slow),
    pytest.param("mobileone_s0", marks=pytest.mark.slow),
    "repghostnet_050",
    pytest.param("fastvit_t8", marks=pytest.mark.slow),
    pytest.param("repvit_m0_9", marks=pytest.mark.slow),
    pytest.param("lcnetv2_small", marks=pytest.mark.slow),
    pytest.param("ghostnetv3_050", marks=pytest.mark.slow),
]


def size_of(architecture):
    return Input(height=64, width=64) if architecture == "ghostnetv3_050" else SMALL  # it halves its map once more


def embed(network):
    images = torch.from_numpy(random_images(4, network.size)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return torch.nn.functional.normalize(network.eval()(images))


def narrow(architecture):
    """A network that has lost some of all its channels, in training form."""
    network = alive_network(architecture, 2, size_of(architecture))
    sites = sites_of(network, "coupled")
    model = CostModel(network, sites, "macs")
    share = (1 + least_share(model)) / 2
    remove_channels(network, sites, channels_above(model, position_scores(sites), Compress(macs=share)))
    return settle(network, network.size)


@pytest.mark.parametrize("small", [pytest.param(False, marks=pytest.mark.slow), True], ids=["dense", "small"])
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_fused_network_embeds_alike_and_is_saved_and_loaded(architecture, small, tmp_path):
    network = narrow(architecture) if small else alive_network(architecture, 2, size_of(architecture))
    assert branched(network)
    size = network.size
    expected, cost = embed(network), network_cost(network, size)
    fused = fuse_branches(network)
    assert not branched(fused)
    assert branched(network)  # the one for training stays
    assert (embed(fused) - expected).abs().max() < 1e-4
    after = network_cost(fused, size)
    assert after.macs <= cost.macs
    assert after.parameters < cost.parameters
    about = Network(architecture=architecture, last_stride=2, embedding=16)
    save_network(tmp_path, fused, about, size)
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


@torch.no_grad()
def masked(network, sites, kept):
    """Put compactors and gates in, of which only `kept` rows of each site live; their norms, by writer."""
    norms = {}
    for site, rows in zip(sites, insert_compactors(network, sites).values(), strict=True):
        alive = torch.zeros(site.channels)
        alive[kept[site.writer]] = 1
        rows.scale_rows(alive)
        norms[site.writer] = rows.row_norms()
    return norms


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_student_with_compactors_is_fused_and_costs_what_its_budget_counted(architecture, tmp_path):
    size = size_of(architecture)
    network, dense = (alive_network(architecture, 2, size) for _ in range(2))
    sites = sites_of(network, "coupled")
    models = {what: CostModel(network, sites, what) for what in ("macs", "params")}
    assert models["macs"].dense == network_cost(fuse_branches(dense), size).macs
    share = (1 + least_share(models["macs"])) / 2
    kept = channels_above(models["macs"], position_scores(sites), Compress(macs=share))
    norms = masked(network, sites, kept)
    settle(network, size)
    for site in sites:
        merge_site(network, site)
    prune_network(network, sites, norms, 1e-5)
    expected = embed(network)
    fused = fuse_branches(network, dense=dense)
    assert not branched(fused)
    assert (embed(fused) - expected).abs().max() < 2e-4  # branches of random weights cancel each other
    cost, counts = network_cost(fused, size), {name: len(rows) for name, rows in kept.items()}
    assert cost.macs == pytest.approx(models["macs"](counts), rel=1e-9)
    assert cost.parameters == pytest.approx(models["params"](counts), rel=1e-9)
    save_network(tmp_path, fused, Network(architecture=architecture, last_stride=2, embedding=16), size)
    assert torch.equal(embed(load_deployed(tmp_path)), embed(fused))


def test_a_block_without_one_of_its_branches_keeps_the_others():
    network, dense = alive_network("repvgg_a0", 2), alive_network("repvgg_a0", 2)
    first, *rest = branched(network)
    network.set_submodule(f"{first}.conv_1x1.conv", Constant(48, (16, 16)))
    expected = embed(network)
    fused = fuse_branches(network, dense=dense)
    assert branched(fused) == [first]
    assert fused.fused == tuple(rest)
    assert (embed(fused) - expected).abs().max() < 1e-4


def test_networks_whose_times_are_measured_are_fused():
    network = alive_network("repvgg_a0", 2)
    sites = sites_of(network, "coupled")
    narrow = Narrowing(network, sites).of({site.writer: site.channels // 2 for site in sites})
    assert not branched(narrow)
    assert network_cost(narrow, SMALL).macs < network_cost(fuse_branches(network), SMALL).macs / 2


def test_a_network_without_branches_stays_the_same_one():
    network = alive_network("resnet10t", 2)
    assert fuse_branches(network) is network
