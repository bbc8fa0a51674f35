"""Importance: which channels of a site stay, by each score, and the choice between scores."""

import copy
from math import nan

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.method.compactor import insert_gates
from pipeline.method.distillation import output_losses
from pipeline.method.importance import gradient_scores, sensitivity_scores
from pipeline.method.removal import remove_channels
from pipeline.method.selection import _Chooser
from pipeline.method.taps import Taps
from tests.helpers import alive_network, sites_of
from tests.pipeline.test_selection import batches, images, pair, selected, settings


def test_a_gates_gradient_is_the_sum_over_all_that_write_the_channel():
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    gates = insert_gates(network, sites)
    scores = gradient_scores(gates, (network(images(8, number)).square().sum() for number in range(2)))
    site = next(site for site in sites if site.coupled)
    step = 1e-3
    found = []
    for number in range(2):
        values = []
        for change in (-step, step):
            with torch.no_grad():
                gates[site.writer].weight[5] += change
                values.append(network(images(8, number)).square().sum().double())
                gates[site.writer].weight[5] -= change
        found.append(((values[1] - values[0]) / (2 * step)) ** 2)
    assert scores[site.writer][5] == pytest.approx(float(sum(found) / 2) ** 0.25, rel=0.02)


@pytest.mark.parametrize("architecture", ["resnet10t", "mobilenetv2_035", "regnety_002"])
def test_sensitivity_counts_every_weight_that_is_removed_with_a_channel_once(architecture):
    student, teacher = pair(architecture)
    sites = sites_of(student.embedder, "coupled")
    scores = _Chooser(student, teacher, sites, settings(), batches).scores("sensitivity")
    assert [*scores] == [site.writer for site in sites]
    student.train()
    for some, labels in batches(2):
        full = torch.ones(())
        with torch.no_grad():
            taught = teacher(some)
        torch.stack([*output_losses(student(some), taught, labels, settings(), full).values()]).sum().backward()
    network = student.embedder
    products = {}
    with torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                products[name] = layer.weight.copy_((layer.weight * layer.weight.grad).abs())
    for site in (sites[0], sites[-1], next(site for site in sites if site.coupled)):
        small = copy.deepcopy(network)
        size = site.channels // site.chunks
        kept = torch.arange(site.channels)[torch.arange(site.channels) % size != 3]
        remove_channels(small, [site], {site.writer: kept})
        left = {name: small.get_submodule(name).weight.detach() for name in products}
        lost = sum(float(product.detach().sum() - left[name].sum()) for name, product in products.items())
        assert lost == pytest.approx(float(scores[site.writer].sum() - scores[site.writer][kept].sum()), rel=1e-3)


def test_importance_without_gradients_is_refused():
    network = alive_network("resnet10t", 2)
    sites = sites_of(network, "coupled")
    with pytest.raises(PipelineError, match="sensitivity needs gradients, but none reaches the channels of .*: norm"):
        sensitivity_scores(network, sites, [network.head[2].weight.sum()])
    network.backbone.requires_grad_(False)
    with pytest.raises(PipelineError, match="none reaches the channels of backbone.conv1.0"):
        sensitivity_scores(network, sites, [network(images()).square().sum()])
    network.requires_grad_(True)
    gates = insert_gates(network, sites)
    name = next(iter(gates))
    with pytest.raises(PipelineError, match="none reaches the channels of .*Set distill.importance: norm"):
        gradient_scores({"alone": gates[name]}, [network.head[2].weight.sum()])


@pytest.mark.parametrize(
    ("losses", "best", "allocation", "first"),
    [
        ([1.0, 0.95], "sensitivity", "uniform", "uniform"),
        ([1.0, 0.85], "taylor", "uniform", "uniform"),
        ([nan, 1.0], "taylor", "raw", "raw"),
        ([0.85, 1.0], "sensitivity", "searched", "global"),
    ],
)
def test_the_best_importance_is_lower_by_a_margin(losses, best, allocation, first, monkeypatch):
    student, teacher = pair()
    kept = {
        name: selected(student, teacher, settings(importance=name, allocation=first))[1].kept
        for name in ("sensitivity", "taylor")
    }
    tried = []

    def proxy(self, moments):
        given = iter(losses)
        return lambda some: tried.append(some) or next(given, 9.0)

    monkeypatch.setattr(_Chooser, "proxy", proxy)
    _, found = selected(student, teacher, settings(importance="best", allocation=allocation))
    assert found.importance == best
    assert [*found.compared] == [*kept]
    assert [*found.compared.values()] == pytest.approx(losses, nan_ok=True)
    for given, name in zip([*tried[:2], found.kept], [*kept, best], strict=True):
        assert all(torch.equal(given[site], rows) for site, rows in kept[name].items())


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_retrieval_scores_are_mean_contributions_to_the_nearest_images_and_leave_the_student_alone(distance):
    student, teacher = pair()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    chosen = settings(0.5, importance="retrieval", rggr={"neighbours": 3, "distance": distance})
    sites = sites_of(student.embedder, "coupled")
    scores = _Chooser(student.train(), teacher, sites, chosen, batches).scores("retrieval")
    assert student.embedder.training
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
    site = next(site for site in sites if not site.coupled)
    taps = Taps({"": (student.embedder.get_submodule(site.place), False)})
    rows = []
    with torch.no_grad():
        for some, _ in batches(2):
            student.embedder.eval()(some)
            rows += [row / row.norm() if distance == "cosine" else row for row in taps.features[""]]
    sums = torch.zeros(site.channels)
    for query in rows:
        others = [row for row in rows if row is not query]
        order = torch.stack([(row - query).norm() for row in others]).argsort()
        sums += sum((others[number] * query).abs() for number in order[:3])
    assert torch.allclose(scores[site.writer], sums / 3 / len(rows), rtol=1e-3, atol=1e-6)
    assert [*scores] == [site.writer for site in sites]
