"""A budget: its cost is predicted exactly, met closely, and refused if it can't be met."""

import re

import pytest
import torch

from pipeline.errors import BudgetError
from pipeline.method.budget import Budget, make_budget
from pipeline.method.compactor import DEAD, Compactor, insert_compactors
from pipeline.method.compress import Compress
from pipeline.method.cost_model import CostModel
from pipeline.method.merge import kept_count, merge_site, prune_network
from pipeline.method.settings import Distillation
from pipeline.networks.branches import fuse_branches
from pipeline.networks.cost import network_cost
from tests.helpers import SMALL, alive_network, sites_of


@pytest.mark.parametrize(("what", "align"), [("macs", 1), pytest.param("params", 8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("architecture", "which"),
    [
        ("resnet10t", "spatial"),
        ("resnet26", "all"),
        pytest.param("resnext50_32x4d", "all", marks=pytest.mark.slow),
        ("regnety_002", "spatial"),
        ("mobilenetv3_small_050", "spatial"),
        ("convnext_atto", "spatial"),
        ("vit_tiny_patch16_224", "spatial"),
        ("resnet26d", "coupled"),
        ("seresnet18", "coupled"),
        pytest.param("resnetv2_50", "coupled", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", "coupled", marks=pytest.mark.slow),
        ("lcnetv2_small", "coupled"),  # a map writes the channels that it reads; branches are fused
        ("repghostnet_050", "coupled"),
    ],
)
def test_cost_is_predicted_to_the_last_parameter(architecture, which, what, align):
    network = alive_network(architecture, 2)
    sites = sites_of(network, which)
    model = CostModel(network, sites, what)
    random = torch.Generator().manual_seed(3)
    kept, norms = {}, {}
    with torch.no_grad():
        for number, module in enumerate(insert_compactors(network, sites).values()):
            site, weight = sites[number], module.weight
            weight[torch.rand(len(weight), generator=random) < (1 if number == 1 else 0.6)] = 0
            norms[site.writer] = rows = module.row_norms().detach()
            fullest = int((rows >= DEAD).view(site.chunks, -1).sum(1).max())
            kept[site.writer] = kept_count(fullest, site.channels, site.chunks, align, 0 if site.branch else 1)
    for site in sites:
        merge_site(network, site)
    prune_network(network, sites, norms, DEAD, align)
    cost = network_cost(fuse_branches(network, dense=alive_network(architecture, 2)), SMALL)
    assert model(kept) == pytest.approx(cost.macs if what == "macs" else cost.parameters, rel=1e-9)
    assert model(kept) < model.dense


def shrunk(network, compress, align=1, steps=120, proximal=True):
    """Rows of random length under a budget's penalty alone; the budget and its compactors."""
    sites = sites_of(network)
    budget = Budget(CostModel(network, sites, compress.what), compress, align)
    random = torch.Generator().manual_seed(0)
    compactors = {site.writer: Compactor(site.channels, linear=site.linear, groups=site.groups) for site in sites}
    with torch.no_grad():
        for compactor in compactors.values():
            compactor.weight.mul_(torch.rand(len(compactor.weight), 1, generator=random) + 0.5)
    shares = []
    for step in range(steps):
        if not proximal:
            for compactor in compactors.values():
                compactor.weight.grad = None
                compactor.reset_gradient(torch.ones(len(compactor.weight)), budget.penalty_factor)
                with torch.no_grad():
                    compactor.weight.sub_(0.01 * compactor.weight.grad)
        budget.step(compactors, 0.01 * budget.penalty_factor, step / steps, proximal)
        shares.append(budget.share(budget.alive))
    return budget, compactors, shares


@pytest.mark.parametrize("compress", [Compress(macs=0.35), Compress(params=0.6), Compress(macs=0.9)])
@pytest.mark.parametrize("proximal", [True, False])
def test_a_budget_is_met_within_two_per_cent_and_then_left_alone(compress, proximal):
    budget, compactors, shares = shrunk(alive_network("resnet26"), compress, proximal=proximal)
    assert budget.met
    assert compress.asked * 0.98 <= shares[-1] <= compress.asked
    assert sorted(shares, reverse=True) == shares
    met = next(step for step, share in enumerate(shares) if share <= compress.asked)
    assert 0.4 * len(shares) <= met <= 0.7 * len(shares)  # neither at once nor at the end, so that the rest recovers
    assert budget.penalty_factor == 0
    dead = torch.cat([compactor.row_norms() for compactor in compactors.values()]) < DEAD
    assert torch.equal(dead, ~budget.alive)


def test_another_ranking_removes_long_rows():
    network = alive_network("resnet26")
    budget, compactors, _ = shrunk(network, Compress(macs=0.9), steps=1)
    before = budget.norms(compactors)
    budget.step(compactors, 0.0, 0.5, True, ranking=-before)  # the longest rows count least
    assert budget.met
    assert before[~budget.alive].min() > before[budget.alive].max() - 0.05


def test_rows_that_have_died_stay_dead_and_others_may_grow():
    budget, compactors, _ = shrunk(alive_network("resnet26"), Compress(macs=0.5))
    with torch.no_grad():
        for compactor in compactors.values():
            compactor.weight.add_(1)
    budget.step(compactors, 0.0, 1.0, True)
    norms = torch.cat([compactor.row_norms() for compactor in compactors.values()])
    assert torch.equal(norms >= DEAD, budget.alive)


def test_alignment_counts_and_fills_up_with_rows_that_may_live():
    budget, _, shares = shrunk(alive_network("resnet26"), Compress(macs=0.5), align=8)
    assert shares[-1] <= 0.5
    for rows in budget.by_site(budget.alive).values():
        assert int(rows.sum()) % 8 == 0


def test_an_unreachable_budget_is_refused_with_the_reachable_one():
    with pytest.raises(BudgetError, match=r"compress.macs 0.01 can't be met: .* 0\.\d+ .* remain.*sites: coupled"):
        shrunk(alive_network(), Compress(macs=0.01))


def test_the_reachable_budget_that_a_refusal_names_is_not_refused():
    network, sites = alive_network(), sites_of(alive_network())
    asked = 0.01
    with pytest.raises(BudgetError) as refused:
        make_budget(network, sites, Distillation(method="cdd", compress=Compress(macs=asked)))
    (named,) = re.findall(r"([\d.]+) of the dense", str(refused.value))
    assert make_budget(network, sites, Distillation(method="cdd", compress=Compress(macs=float(named))))


@pytest.mark.parametrize(
    ("limit", "share", "words"),
    [
        ({"macs": 0.5}, 0.20621, "0.207 of the dense network's macs"),
        ({"macs": 0.5}, 0.00061, "0.00061 of"),
        ({"macs": 0.5}, 0.1 + 0.2, "0.3 of"),
        ({"p50_ms": 4.0, "target": "board"}, 0.20621, "takes 0.413 ms on board"),
        ({"images_per_second": 50.0, "target": "board"}, 0.20621, "computes 2424 images/s"),
        ({"images_per_second": 50.0, "target": "board"}, 0.00001237, "computes 40420000 images/s"),
        ({"p50_ms": 4.0, "target": "board"}, 1234.1, "takes 2470 ms on board"),
        ({"mj_per_image": 4.0, "target": "board"}, 0.20621, "takes 0.413 mJ"),
    ],
)
def test_figures_in_words_are_rounded_to_the_side_that_a_limit_allows(limit, share, words):
    assert words in Compress(**limit).told(share, dense=2.0)


def test_what_alignment_keeps_counts_towards_the_reachable_budget():
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    settings = Distillation(method="cdd", sites="coupled", compress=Compress(macs=0.005))
    assert make_budget(network, sites, settings)
    with pytest.raises(BudgetError, match=r"macs 0.005 can't be met: .* 0\.\d+ of"):
        make_budget(network, sites, settings.model_copy(update={"align": 16}))


def test_coupled_sites_are_not_recommended_to_those_who_have_them():
    network = alive_network("resnet10t", 2)
    settings = Distillation(method="cdd", sites="coupled", compress=Compress(macs=1e-5))
    with pytest.raises(BudgetError, match=r"can't be met: .* remain\. Relax it\.$"):
        make_budget(network, sites_of(network, "coupled"), settings)


def test_coupled_sites_are_not_recommended_to_a_method_that_refuses_them():
    network = alive_network("resnet26")
    settings = Distillation(method="deap", compress=Compress(macs=1e-5))
    with pytest.raises(BudgetError, match=r"can't be met: .* remain\. Relax it\.$"):
        make_budget(network, sites_of(network, settings.sites), settings)


def test_a_budget_is_state():
    network = alive_network()
    budget, _, _ = shrunk(network, Compress(macs=0.5), steps=30)
    other = Budget(budget.model, Compress(macs=0.5), 1)
    other.load_state_dict(budget.state_dict())
    assert (other.growth, other.behind, other.met) == (budget.growth, budget.behind, budget.met)
    assert torch.equal(other.alive, budget.alive)
