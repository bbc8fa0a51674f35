"""How many channels each site keeps under a budget: shares, thresholds, candidates that are tried, and a search."""

from math import isnan, nan

import pytest
import torch

from pipeline.errors import BudgetError
from pipeline.method.allocation import best_allocation, channels_above, comparable, search_allocation
from pipeline.method.compress import Compress
from pipeline.method.cost_model import CostModel
from pipeline.method.importance import norm_scores, position_scores
from tests.helpers import alive_network, least_share, sites_of


def test_uniform_takes_the_smallest_filters_of_every_site_alike():
    network = alive_network("resnet26")
    sites = sites_of(network, "all")
    scores = norm_scores(network, sites, l1=True)
    kept = channels_above(CostModel(network, sites, "macs"), comparable(scores, sites, "uniform"), Compress(macs=0.5))
    shares = [len(kept[site.writer]) / site.channels for site in sites]
    assert max(shares) - min(shares) < 0.02
    for site in sites:
        l1 = network.get_submodule(site.writer).weight.abs().sum((1, 2, 3))
        gone = sorted({*range(site.channels)} - set(kept[site.writer].tolist()))
        assert l1[gone].max() <= l1[kept[site.writer]].min()


def test_global_takes_the_smallest_wherever_they_are_and_isomorphic_the_same_from_each_topology():
    network = alive_network("resnet26")
    sites = sites_of(network, "coupled")
    inner = next(number for number, site in enumerate(sites) if not site.coupled)
    with torch.no_grad():
        network.get_submodule(sites[inner].norm).weight[: sites[inner].channels // 2] *= 1e-3  # almost no contribution
    scores, model = norm_scores(network, sites), CostModel(network, sites, "macs")
    shares, spread = {}, {}
    for allocation in ("global", "isomorphic"):
        kept = channels_above(model, comparable(scores, sites, allocation), Compress(macs=0.5))
        shares[allocation] = [len(kept[site.writer]) / site.channels for site in sites]
        of_kind = [[site for site in sites if site.coupled == coupled] for coupled in (False, True)]
        left = [sum(len(kept[s.writer]) for s in some) / sum(s.channels for s in some) for some in of_kind]
        spread[allocation] = abs(left[0] - left[1])
    assert shares["global"][inner] < 0.7 * max(shares["global"])
    assert spread["isomorphic"] < 0.01 < spread["global"]


def test_a_search_keeps_the_best_and_is_deterministic():
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    model, scores = CostModel(network, sites, "macs"), norm_scores(network, sites)
    wanted = sites[0].writer

    def loss(kept):
        return float(len(kept[wanted]))

    def cut(changed):
        return channels_above(model, changed, Compress(macs=0.3))

    one, other = (search_allocation(cut, sites, scores, loss, 10, seed=2) for _ in range(2))
    assert one[1] == other[1]
    assert one[1] == sorted(one[1], reverse=True)
    assert one[1][-1] < one[1][0]
    assert len(one[0][wanted]) == one[1][-1]


@pytest.mark.parametrize(("losses", "best"), [((nan, 3.0, 2.0), 2.0), ((3.0, nan, 2.0), 2.0), ((nan, nan, nan), None)])
def test_a_search_never_keeps_a_loss_that_is_nan_if_there_is_another(losses, best):
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    given = iter(losses)
    kept, history = search_allocation(dict, sites, norm_scores(network, sites), lambda _: next(given), 2, seed=2)
    assert [*kept] == [site.writer for site in sites]
    assert isnan(history[-1]) if best is None else history[-1] == best


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ((1.0, 0.95, 0.91), "global"),  # within the margin, the first one stays
        ((1.0, 0.8, 0.85), "isomorphic"),
        ((1.0, 0.85, 0.8), "uniform"),  # the lowest one, however close the second
        ((0.0, 0.0, 0.0), "global"),
        ((nan, 0.9, 0.8), "uniform"),
        ((1.0, nan, 0.99), "global"),
    ],
)
def test_the_best_allocation_is_lower_by_a_margin(losses, best):
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    model, scores = CostModel(network, sites, "macs"), norm_scores(network, sites)

    def cut(changed):
        return channels_above(model, changed, Compress(macs=0.3))

    given = iter(losses)
    kept, chosen, found = best_allocation(cut, sites, scores, lambda _: next(given))
    assert (chosen, found) == (best, list(losses))
    wanted = cut(comparable(scores, sites, best))
    assert {name: rows.tolist() for name, rows in kept.items()} == {n: r.tolist() for n, r in wanted.items()}


def test_narrow_students_ignore_weights():
    sites = sites_of(alive_network("resnet26"), "coupled")
    assert all(values[0] == 1 and values.diff().max() < 0 for values in position_scores(sites).values())


@pytest.mark.parametrize("architecture", ["resnet10t", "resnet18", "resnet50", "tf_efficientnet_lite0"])
def test_coupled_sites_reach_a_few_per_cent_of_the_cost(architecture):
    network = alive_network(architecture, 2)
    model = CostModel(network, sites_of(network, "coupled"), "macs")
    assert least_share(model) < 0.04


def test_an_unreachable_budget_is_refused():
    network = alive_network("resnet26")
    sites = sites_of(network)
    model = CostModel(network, sites, "macs")
    with pytest.raises(BudgetError, match=r"macs 0.05 can't be met: .* 0\.\d+ of .* or set distill.sites: coupled"):
        channels_above(model, position_scores(sites), Compress(macs=0.05))
