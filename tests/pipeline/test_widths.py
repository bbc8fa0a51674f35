"""Widths of all layers follow from the channels kept at each site, whatever a site is and however it is removed."""

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.method.width_choice import near_widths, pattern, spread_widths
from pipeline.method.widths import Narrowing, enliven, full_widths, layer_widths, least_widths, try_narrow
from pipeline.networks.factory import Network, build_network
from tests.helpers import SMALL, alive_network, sites_of


def layers_of(network):
    weights = {name: module.weight for name, module in network.named_modules() if hasattr(module, "weight")}
    groups = {name: getattr(module, "groups", 1) for name, module in network.named_modules()}
    return {name: (weight.shape[1] * groups[name], len(weight)) for name, weight in weights.items() if weight.ndim > 1}


@pytest.mark.parametrize(
    ("architecture", "which"),
    [
        pytest.param("resnet10t", "coupled", marks=pytest.mark.slow),
        ("resnet26", "all"),
        ("regnety_002", "spatial"),
        pytest.param("mobilenetv3_small_050", "coupled", marks=pytest.mark.slow),
        ("convnext_atto", "spatial"),
        ("vit_tiny_patch16_224", "spatial"),
        ("repvgg_a0", "coupled"),  # whose branches are fused
        pytest.param("repghostnet_050", "coupled", marks=pytest.mark.slow),
    ],
)
def test_widths_are_those_of_the_network_that_is_built(architecture, which):
    network = alive_network(architecture, 2)
    sites = sites_of(network, which)
    narrowing = Narrowing(network, sites)
    layers = layer_widths(narrowing)
    random = np.random.default_rng(4)
    for level in (0.2, 0.7):
        kept = pattern(sites, 1, random)(level)
        kept |= {sites[-1].writer: 0} if sites[-1].branch else {}
        found = layers_of(narrowing.of(kept))
        there = {layer.name: layer for layer in layers if all(kept[name] for name in layer.serves)}
        assert there.keys() == found.keys() != set()
        for name, layer in there.items():
            assert (layer.takes(kept), layer.gives(kept)) == found[name], name


def test_narrow_copies_are_alive_and_do_not_change_the_network():
    network = enliven(build_network(Network(architecture="resnet10t", embedding=16), SMALL))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sites = sites_of(network, "coupled")
    images = torch.randint(0, 256, (4, 3, 32, 32))
    with torch.inference_mode():
        for kept in (full_widths(sites), pattern(sites, 8, np.random.default_rng(0))(0.4)):
            rows = Narrowing(network, sites).of(kept)(images)
            assert 0.05 < float(rows.std(0).mean()) < 50  # another embedding for another image, of a size as trained
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_networks_to_measure_go_from_the_dense_to_the_least_and_are_aligned():
    sites = sites_of(alive_network("resnet26"), "coupled")
    drawn = spread_widths(sites, 8, 20)
    assert drawn[:2] == [full_widths(sites), least_widths(sites, 8)]
    assert all(count % 8 == 0 for kept in drawn for count in kept.values())
    shares = [np.mean([kept[site.writer] / site.channels for site in sites]) for kept in drawn[2:]]
    assert min(shares) < 0.1
    assert max(shares) > 0.9
    assert np.diff(shares).mean() > 0
    assert any(0 in kept.values() for kept in drawn[2:])  # a branch that is gone altogether
    assert drawn == spread_widths(sites, 8, 20)  # a killed build finds its graphs again


def test_networks_near_a_budget_meet_it_closely_and_differ():
    sites = sites_of(alive_network("resnet26"), "all")

    def cost(kept):
        return sum(kept[site.writer] * site.resolution for site in sites)

    limit = 0.4 * cost(full_widths(sites))
    found = near_widths(sites, 1, cost, limit, 6, seed=1)
    assert len({tuple(kept.values()) for kept in found}) == 6
    assert all(0.97 * limit < cost(kept) <= limit for kept in found)
    assert near_widths(sites, 1, cost, 0.0, 6, seed=1) == []


@pytest.mark.parametrize("architecture", ["resnet10t", pytest.param("repghostnet_050", marks=pytest.mark.slow)])
def test_a_network_that_runs_with_fewer_channels_passes(architecture):
    network = alive_network(architecture, 2)
    try_narrow(network, sites_of(network, "coupled"))


def test_a_network_that_depends_on_its_original_widths_is_refused():
    network = alive_network("lambda_resnet26t", 2)
    with pytest.raises(PipelineError, match=r"does not run with fewer channels \(shape .*\).*another architecture"):
        try_narrow(network, sites_of(network, "coupled"))
