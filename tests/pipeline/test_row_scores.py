"""Importance that is summed up during training: Taylor's formula, over steps, and resumed with the student."""

import pytest
import torch

from pipeline.method.compactor import insert_compactors
from pipeline.method.row_scores import RowScores
from tests.helpers import alive_network, sites_of


@pytest.fixture(scope="module")
def student():
    network = alive_network("test_resnet")
    sites = sites_of(network)
    rows = insert_compactors(network, sites)
    random = torch.Generator().manual_seed(0)
    for one in rows.values():
        one.weight.data += torch.randn(one.weight.shape, generator=random)  # an identity has one product in each row
        one.weight.grad = torch.randn(one.weight.shape, generator=random)
    return sites, rows


def test_two_steps_of_gradients_add_up_by_taylors_formula(student):
    sites, rows = student
    scores = RowScores(sites, "raw")
    scores.add_gradients(rows)
    scores.add_gradients(rows)
    once = [(rows[site.writer].weight * rows[site.writer].weight.grad).flatten(1).sum(1).square() for site in sites]
    assert torch.allclose(scores.ranking(), 2 * torch.cat(once).detach())


def test_rows_without_a_gradient_add_nothing(student):
    sites, rows = student
    scores = RowScores(sites, "raw")
    scores.add_gradients({name: torch.nn.Linear(2, 2) for name in rows})  # type: ignore[misc]
    assert not scores.ranking().any()


def test_scores_of_steps_add_up_and_go_on_after_a_restart(student):
    sites, _ = student
    step = {site.writer: torch.arange(site.channels).float() for site in sites}
    scores, resumed = RowScores(sites, "raw"), RowScores(sites, "raw")
    scores.add(step)
    resumed.load_state_dict(scores.state_dict())
    resumed.add(step)
    assert torch.equal(resumed.ranking(), 2 * torch.cat([*step.values()]))


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_allocations_other_than_raw_change_the_scale_and_keep_the_order_within_a_site(student, allocation):
    sites, rows = student
    raw, scaled = RowScores(sites, "raw"), RowScores(sites, allocation)
    for scores in (raw, scaled):
        scores.add_gradients(rows)
    ends = [site.channels for site in sites]
    assert not torch.equal(raw.ranking(), scaled.ranking())
    for one, other in zip(raw.ranking().split(ends), scaled.ranking().split(ends), strict=True):
        assert torch.equal(one.argsort(), other.argsort())
