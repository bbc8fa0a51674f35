"""The latency model: prediction from other networks, monotonic in widths, and usable as a budget."""

import json

import numpy as np
import pytest
import torch

from pipeline.errors import BudgetError
from pipeline.method.allocation import channels_above
from pipeline.method.budget import Budget
from pipeline.method.compactor import Compactor
from pipeline.method.compress import Compress
from pipeline.method.latency_model import LatencyModel, fit, non_negative_least_squares, predict, read_fit
from pipeline.method.width_choice import pattern, spread_widths
from pipeline.method.widths import Narrowing, full_widths, layer_widths
from pipeline.stages.latency_budget import check_budget, costs_of, least_cost
from tests.helpers import alive_network, least_share, sites_of


def machine(layers, kept):
    """ms on a machine that pads to 8 channels, is slower for one kind of layer, and has an overhead per call."""
    total = 0.2
    for layer in layers:
        if all(kept[name] for name in layer.serves):
            into, out = (-(-width(kept) // 8) * 8 for width in (layer.takes, layer.gives))
            pace = {"spatial": 2e-8, "pointwise": 5e-8}.get(layer.kind, 1e-7)
            total += pace * layer.outputs * layer.kernel * into * out + 0.01
            total += 1e-7 * (layer.inputs * layer.takes(kept) + layer.outputs * layer.gives(kept))
    return total


@pytest.fixture(scope="module")
def student():
    network = alive_network("resnet26")
    sites = sites_of(network, "all")
    return network, sites, layer_widths(Narrowing(network, sites))


@pytest.fixture(scope="module")
def model(student):
    _, sites, layers = student
    drawn = spread_widths(sites, 1, 40)
    found = fit(layers, drawn, [machine(layers, kept) for kept in drawn], [1.0] * len(drawn))
    return LatencyModel(sites, layers, found)


def test_rates_are_non_negative_and_optimal():
    random = np.random.default_rng(0)
    matrix, goal = random.normal(size=(40, 9)), random.normal(size=40)
    x = non_negative_least_squares(matrix, goal)
    slope = matrix.T @ (matrix @ x - goal)
    assert (x >= 0).all()
    assert (x > 0).any()
    assert (x == 0).any()
    assert np.allclose(slope[x > 0], 0, atol=1e-9)
    assert (slope[x == 0] >= -1e-9).all()


def test_networks_that_were_never_measured_are_predicted(student, model):
    _, sites, layers = student
    random = np.random.default_rng(99)
    errors = [
        model(kept) / machine(layers, kept) - 1
        for kept in (pattern(sites, 1, random)(level) for level in random.random(20))
    ]
    assert model.found.pad == 8
    assert max(map(abs, errors)) < 0.05
    assert model.found.error < 0.02
    assert model.dense == pytest.approx(machine(layers, full_widths(sites)), rel=0.03)


def test_an_outlier_does_not_spoil_the_prediction(student):
    _, sites, layers = student
    drawn = spread_widths(sites, 8, 30)
    times = [machine(layers, kept) * (1.6 if number == 15 else 1) for number, kept in enumerate(drawn)]
    found = fit(layers, drawn, times, [1.0] * len(drawn))
    errors = [predict(layers, found, kept) / machine(layers, kept) - 1 for kept in drawn]
    assert max(map(abs, errors)) < 0.05


def test_a_prediction_grows_with_every_width(student, model):
    _, sites, _ = student
    random = np.random.default_rng(5)
    steps = []
    for _ in range(10):
        kept = pattern(sites, 1, random)(random.random())
        for site in sites:
            if kept[site.writer] < site.channels:
                steps.append(model({**kept, site.writer: kept[site.writer] + site.chunks}) - model(kept))
    assert len(steps) > 100
    assert min(steps) >= 0
    assert np.count_nonzero(steps) > 10  # it is a staircase of 8 channels a step


def test_a_saved_model_predicts_the_same(student, model):
    _, sites, layers = student
    from dataclasses import asdict

    saved = json.loads(json.dumps([[asdict(layer) for layer in layers], asdict(model.found)]))
    again = LatencyModel(sites, *read_fit(*saved))
    kept = pattern(sites, 1, np.random.default_rng(1))(0.3)
    assert again(kept) == model(kept) == predict(model.layers, model.found, kept)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_budget_in_ms_is_met_within_two_per_cent(model, share):
    compress = Compress(p50_ms=share * model.dense, target="somewhere")
    budget = Budget(model, compress, 1)
    random = torch.Generator().manual_seed(0)
    rows = {
        name: Compactor(site.channels, linear=site.linear, groups=site.groups) for name, site in model.sites.items()
    }
    with torch.no_grad():
        for one in rows.values():
            one.weight.mul_(torch.rand(len(one.weight), 1, generator=random) + 0.5)
    for step in range(100):
        budget.step(rows, 0.01 * budget.penalty_factor, step / 100, proximal=True)
    kept = {name: int(alive.sum()) for name, alive in budget.by_site(budget.alive).items()}
    assert 0.97 * compress.p50_ms <= model(kept) <= compress.p50_ms
    scores = {name: torch.rand(site.channels, generator=random) for name, site in model.sites.items()}
    kept = {name: len(some) for name, some in channels_above(model, scores, compress).items()}
    assert 0.9 * compress.p50_ms <= model(kept) <= compress.p50_ms


def test_images_per_second_count_the_other_way_round(student, model):
    compress = Compress(images_per_second=1000 / (0.5 * model.dense), target="somewhere")
    assert compress.share(model.dense) == pytest.approx(0.5)
    told = float(compress.told(0.5, model.dense).split()[2])
    assert 0.999 * compress.images_per_second <= told <= compress.images_per_second


def refusal(student, model, asked, method="cdd"):
    network, sites, _ = student
    with pytest.raises(BudgetError) as error:
        check_budget(sites, model, Compress(p50_ms=asked, target="board"), method, 1, network)
    return str(error.value)


def test_an_unreachable_budget_is_refused_with_the_reachable_one(student, model):
    def named(told, before):
        return float(told.split(f"{before}, a call takes ")[1].split(" ms on board")[0])

    least = least_share(model) * model.dense
    told = refusal(student, model, 0.01)
    assert "p50_ms 0.01 can't be met" in told
    assert least <= named(told, "with every removable channel removed") <= 1.01 * least
    one = model({name: site.chunks for name, site in model.sites.items()})
    assert least < one
    assert [least_cost([*model.sites.values()], model, method, 1) for method in ("cdd", "prune")] == [least, one]
    assert one <= named(refusal(student, model, 0.01, "prune"), "with the fewest possible channels") <= 1.01 * one


def test_a_budget_that_the_dense_network_meets_is_refused(student, model):
    told = refusal(student, model, 2 * model.dense)
    assert f"limits nothing: with all channels a call takes {model.dense:.3g} ms on board in fp32" in told


def row(low, p50=None, mean=None, energy=None):
    return {"low_ms": low, "p50_ms": p50 or low, "mean_ms": mean or low, "mj_per_image": energy}


def test_work_beside_a_few_networks_does_not_make_them_slow():
    quiet = [row(1.0, 1.1), row(2.0, 2.2), row(3.0, 3.3), row(4.0, 4.4)]
    disturbed = [*quiet[:3], row(4.0, 9.0)]
    assert costs_of(disturbed, "p50_ms", 1) == pytest.approx(costs_of(quiet, "p50_ms", 1), rel=0.02)
    assert costs_of(quiet, "p50_ms", 1) == pytest.approx([1.1, 2.2, 3.3, 4.4])
    assert costs_of([row(8.0, mean=16.0)], "images_per_second", 8) == [2.0]  # ms of an image


def test_energy_is_refused_without_a_meter():
    assert costs_of([row(1.0, energy=7.5)], "mj_per_image", 1) == [7.5]
    with pytest.raises(BudgetError, match="no energy meter.*Use p50_ms instead"):
        costs_of([row(1.0)], "mj_per_image", 1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "set one of macs, params, p50_ms, images_per_second, mj_per_image, not none"),
        ({"macs": 0.5, "p50_ms": 4, "target": "x"}, "not macs and p50_ms"),
        ({"p50_ms": 4}, "p50_ms is measured on a target: set it, as in {p50_ms: …, target: openvino-cpu}"),
        ({"macs": 0.5, "target": "x"}, "macs does not depend on a target: leave target and precision out"),
    ],
)
def test_a_budget_has_one_figure_and_its_target(given, told):
    with pytest.raises(ValueError, match=told.replace("{", r"\{")):
        Compress(**given)
