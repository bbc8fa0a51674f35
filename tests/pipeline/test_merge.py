"""Merging and pruning are exact, and what is saved is an ordinary network."""

import pytest
import torch
from torch import nn

from pipeline.errors import PipelineError
from pipeline.method.compactor import CompactedNorm, insert_compactors
from pipeline.method.merge import fold_norm, merge_compactor, merge_site, prune_site, surviving_rows
from pipeline.networks.build import Network
from pipeline.networks.cost import macs_by_module, network_cost
from pipeline.networks.saved import Description, load_network, save_network
from pipeline.networks.sites import Site, find_sites
from tests.helpers import SMALL, alive_network, enliven, random_images, settle


def compacted(architecture, which, dead=0.4):
    """A network whose compactors are random, with a share of rows at zero."""
    network = alive_network(architecture)
    sites = find_sites(network, which)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in insert_compactors(network, sites).values():
            weight = module.compactor.weight
            weight.copy_(weight + 0.1 * torch.randn(weight.shape, generator=random))
            weight[torch.rand(len(weight), generator=random) < dead] = 0
    return settle(network), sites


@pytest.mark.parametrize(
    ("architecture", "which"), [("resnet10t", "spatial"), ("resnet26", "spatial"), ("resnet26", "all")]
)
def test_a_pruned_network_computes_what_the_student_did(architecture, which, tmp_path):
    network, sites = compacted(architecture, which)
    images = torch.from_numpy(random_images(8)).permute(0, 3, 1, 2)
    kept = {s.conv: surviving_rows(network.get_submodule(s.norm).compactor.row_norms(), 1e-5) for s in sites}
    with torch.inference_mode():
        before = network(images)
        for site in sites:
            merge_site(network, site)
        assert (network(images) - before).abs().max() < 1e-4
        for site in sites:
            prune_site(network, site, kept[site.conv])
        assert (network(images) - before).abs().max() < 1e-4
        assert before.std() > 0.1

        widths = {name: len(rows) for name, rows in kept.items()}
        about = Description(network=Network(architecture=architecture, embedding=16), input=SMALL, widths=widths)
        save_network(tmp_path, network, about)
        rebuilt = load_network(tmp_path)
        assert torch.equal(rebuilt(images), network(images))
    assert not any(isinstance(module, CompactedNorm) for module in rebuilt.modules())
    for site in sites:
        assert rebuilt.get_submodule(site.conv).out_channels < site.channels
    dense = alive_network(architecture)
    assert network_cost(rebuilt, SMALL).macs < network_cost(dense, SMALL).macs


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_folding_and_merging_one_convolution(stride, padding, bias):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 5, 3, stride=stride, padding=padding, bias=bias), nn.BatchNorm2d(5).eval()
    enliven(norm)
    rows = torch.randn(5, 5)
    x = torch.randn(2, 3, 9, 9)
    expected = torch.einsum("oc,nchw->nohw", rows, norm(conv(x)))
    assert torch.allclose(merge_compactor(fold_norm(conv, norm), rows)(x), expected, atol=1e-5)


def test_a_site_never_loses_all_its_rows():
    assert surviving_rows(torch.tensor([1e-9, 3e-9, 0.0]), 1e-5).tolist() == [1]
    assert surviving_rows(torch.tensor([1e-9, 0.5, 1e-5]), 1e-5).tolist() == [1, 2]


def test_sites_are_the_papers():
    bottleneck = alive_network("resnet26")
    spatial, everything = find_sites(bottleneck), find_sites(bottleneck, "all")
    assert [site.conv.rsplit(".")[-1] for site in spatial] == ["conv2"] * 8
    assert len(everything) == 16
    assert spatial[0] == Site("backbone.layer1.0.conv2", "backbone.layer1.0.bn2", "backbone.layer1.0.conv3", 64)
    assert {site.conv.rsplit(".")[-1] for site in find_sites(alive_network("resnet10t"), "all")} == {"conv1"}


def test_a_network_without_sites_is_refused():
    with pytest.raises(PipelineError, match="conv1 → bn1 → conv2"):
        find_sites(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))


def test_macs_of_a_convolution_are_what_arithmetic_says():
    network = alive_network("resnet10t")
    conv = network.get_submodule("backbone.layer1.0.conv1")
    assert macs_by_module(network, SMALL)["backbone.layer1.0.conv1"] == conv.weight.numel() * 8 * 8
