"""Pruners on both sides of a k×k convolution: their places, the penalty, and exact absorption."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipeline.errors import PipelineError
from pipeline.method.compactor import Compacted, Compactor, sparsity_loss
from pipeline.method.compress import Compress
from pipeline.method.deap import (
    AbsorbablePruning,
    BothSides,
    InputPruner,
    Preceded,
    absorb_pruners,
    check_places,
    insert_pruners,
    merge_before,
)
from pipeline.stages.distill import Distill
from pipeline.training.supervised import Classified
from tests.helpers import alive_network, random_images, settle, sites_of
from tests.pipeline.test_merge import check_exported, check_pruned, embed, is_alive
from tests.pipeline.test_training import batches, train  # noqa: F401 - a fixture

FAMILIES = [
    ("resnet10t", "all"),
    ("resnet26", "all"),
    pytest.param("resnet26d", "all", marks=pytest.mark.slow),
    pytest.param("resnext50_32x4d", "all", marks=pytest.mark.slow),
    ("seresnet18", "all"),
    ("regnety_002", "all"),
    ("mobilenetv2_035", "all"),
    ("convnext_atto", "all"),
    pytest.param("vgg11_bn", "all", marks=pytest.mark.slow),
    ("resnet26", "coupled"),
]


def pictures(count=8):
    return torch.from_numpy(random_images(count)).permute(0, 3, 1, 2)


def pruned(architecture, which="all", dead=0.4):
    """A network whose pruners are random, with a share of channels at zero on one side or the other."""
    network = alive_network(architecture, 2)
    sites = sites_of(network, which)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        inserted = insert_pruners(network, sites)
        for rows in inserted.values():
            for weight in rows.parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=random)  # type: ignore[misc]
                weight[torch.rand(len(weight), generator=random) < dead] = 0
        norms = {name: rows.row_norms().detach() for name, rows in inserted.items()}
    return settle(network), sites, norms, inserted


def test_an_input_pruner_is_a_matrix_whose_columns_are_its_rows():
    torch.manual_seed(0)
    pruner, x = InputPruner(6, groups=2), torch.randn(3, 6, 5, 5)
    assert torch.equal(pruner(x), x)
    nn.init.normal_(pruner.weight)
    parts = [pruner.weight[:3].T, pruner.weight[3:].T]
    matrix = torch.block_diag(*parts)
    assert torch.allclose(pruner(x), torch.einsum("oi,nihw->nohw", matrix, x), atol=1e-6)
    assert torch.allclose(pruner.row_norms(), matrix.norm(dim=0))
    with torch.no_grad():
        pruner.scale_rows(torch.tensor([1, 0, 1, 1, 1, 0.0]))
    other = x.clone()
    other[:, [1, 5]] = 100
    assert torch.allclose(pruner(x), pruner(other))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_pruner_merges_into_the_convolution_after_it(groups, stride):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, stride=stride, padding=1, groups=groups)
    pruner, x = InputPruner(4, groups), torch.randn(2, 4, 7, 7)
    nn.init.normal_(pruner.weight)
    with torch.no_grad():
        expected = conv(pruner(x))
        weight = merge_before(conv.weight, pruner).float()
        found = nn.functional.conv2d(x, weight, conv.bias, stride, 1, groups=groups)
    assert torch.allclose(found, expected, atol=1e-5)


def test_columns_before_and_rows_after_the_3x3_convolution_of_a_bottleneck():
    network = alive_network("resnet26", 2)
    before = embed(network, pictures())
    sites = sites_of(network, "all")
    inserted = insert_pruners(network, sites)
    assert len(inserted) == 16
    block = network.backbone.layer2[1]
    assert isinstance(block.conv2, Preceded)
    assert isinstance(block.bn2, Compacted)
    assert isinstance(block.bn1, nn.BatchNorm2d)
    assert inserted["backbone.layer2.1.conv1"] is block.conv2.pruner
    assert inserted["backbone.layer2.1.conv2"] is block.bn2.compactor
    assert torch.allclose(embed(network, pictures()), before, atol=1e-6)


def test_channels_between_two_3x3_convolutions_have_both_and_live_while_they_do_in_both():
    network = alive_network()
    inserted = insert_pruners(network, sites_of(network, "all"))
    assert all(isinstance(rows, BothSides) for rows in inserted.values())
    rows = inserted["backbone.layer1.0.conv1"]
    with torch.no_grad():
        rows.behind.weight[3], rows.before.weight[5] = 0, 0
        rows.before.weight[7] *= 0.5
    assert rows.alive().tolist() == [float(place not in (3, 5)) for place in range(64)]
    assert rows.row_norms()[7] == 0.5
    parts: list[Any] = [part for some in inserted.values() for part in (some.behind, some.before)]
    lasso = sum(float(part.row_norms().detach().sum()) for part in parts)
    assert sparsity_loss(inserted.values()).item() == pytest.approx(lasso)
    names = [name for name, _ in network.named_parameters() if "bn1.compactor" in name or "pruner" in name]
    assert sum("layer1.0" in name for name in names) == 2  # each once


@pytest.mark.parametrize(("architecture", "which"), FAMILIES)
def test_absorbing_and_pruning_change_no_embedding(architecture, which, tmp_path):
    network, sites, norms, inserted = pruned(architecture, which)
    images = pictures()
    with torch.inference_mode():
        unmerged = embed(network, images)
        absorb_pruners(network, sites)
        assert (embed(network, images) - unmerged).abs().max() < 1e-4
    assert not any(isinstance(module, Preceded | InputPruner | BothSides) for module in network.modules())
    rebuilt, before = check_pruned(network, sites, norms, architecture, tmp_path)
    assert is_alive(before)
    for site in sites:
        if not site.branch and site.chunks == 1:
            assert len(rebuilt.get_submodule(site.writer).weight) == max(1, int((norms[site.writer] > 0).sum()))
    if architecture == "resnet10t":
        check_exported(rebuilt, before, tmp_path)
    if architecture.startswith("resnet26"):
        assert any(isinstance(rows, InputPruner) for rows in inserted.values())
        assert any(isinstance(rows, Compactor) for rows in inserted.values())


DEAP = Distill(method="deap", epochs=4, lr=0.02, sparsity_weight=0.5)


def make_task(settings, architecture="resnet26"):
    teacher, student = (Classified(alive_network(architecture, 2), 8) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    return AbsorbablePruning(student, teacher, settings)


def test_the_papers_settings_are_the_defaults_and_unused_ones_do_not_matter():
    settings = Distill(method="deap")
    assert (settings.sites, settings.sparsity_weight, settings.learn) == ("all", 0.003, 0)
    assert settings.read() == Distill(method="deap", rggr={"by": "none", "bank": 7}).read()
    with pytest.raises(ValidationError, match="method: deap removes the shortest rows and columns"):
        Distill(method="deap", importance="taylor", compress=Compress(macs=0.5))


def test_networks_and_sites_without_a_place_for_pruners_are_refused():
    with pytest.raises(ValidationError, match="prunes inner channels only: set sites to all or spatial"):
        Distill(method="deap", sites="coupled")
    bottlenecks, inverted = alive_network("resnet26"), alive_network("mobilenetv2_050", 2)
    check_places(bottlenecks, sites_of(bottlenecks, "all"))
    for network, which in ((bottlenecks, "spatial"), (inverted, "all")):
        with pytest.raises(PipelineError, match="no k×k convolution is the only reader"):
            check_places(network, sites_of(network, which))  # type: ignore[arg-type]


def test_the_penalty_is_the_gradient_of_the_group_lasso_from_the_first_step(batches):  # noqa: F811
    task = make_task(DEAP).train()
    images, labels = next(batches.epoch(0))
    task.start_step(0.0)
    losses = task(images, labels)
    terms = [losses[name] for name in ("identity", "triplet", "logits", "features")]
    assert torch.isclose(losses["loss"], torch.stack(terms).sum())
    losses["loss"].backward()
    pruner = task.student.embedder.backbone.layer1[0].conv2.pruner
    by_task = pruner.weight.grad.clone()
    task.adjust_gradients()
    lasso = torch.autograd.grad(pruner.weight.norm(dim=1).sum(), pruner.weight)[0]
    assert by_task.abs().sum() > 0
    assert torch.allclose(pruner.weight.grad, by_task + 0.5 * lasso, atol=1e-6)
    assert task.resetting is None


@pytest.mark.parametrize("architecture", [pytest.param("resnet26", marks=pytest.mark.slow), "resnet10t"])
def test_a_budget_is_met_and_the_average_is_as_small_and_can_be_absorbed(architecture, batches, tmp_path):  # noqa: F811
    settings = DEAP.model_copy(
        update={"compress": Compress(macs=0.7), "sparsity": "proximal", "sparsity_weight": 4.0, "ema": 0.9}
    )
    task = make_task(settings, architecture)
    sites = task._sites
    train(task, batches, tmp_path, settings)
    assert task.budget.met
    norms = {name: rows.row_norms().detach() for name, rows in task._compactors.items()}
    assert all(some[some < 1e-5].eq(0).all() for some in norms.values())
    assert sum(int((some == 0).sum()) for some in norms.values()) > 50
    network = task.student.embedder
    absorb_pruners(network, sites)
    check_pruned(network, sites, norms, architecture, tmp_path)
