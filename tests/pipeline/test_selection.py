"""One-shot pruning: which channels are removed, how many, and that nothing else changes."""

import pytest
import torch
import torch_pruning

from pipeline.method.allocation import channels_above
from pipeline.method.compactor import insert_compactors
from pipeline.method.compress import Compress
from pipeline.method.cost_model import CostModel
from pipeline.method.fixed_width import FixedStudent
from pipeline.method.merge import merge_site, prune_network
from pipeline.method.reconstruction import input_moments, reconstruction_maps
from pipeline.method.removal import remove_channels
from pipeline.method.selection import apply_selection, select_channels
from pipeline.method.settings import Distillation
from pipeline.method.torch_pruning import prune_with_library
from pipeline.networks.cost import network_cost
from pipeline.networks.coupled import left_whole
from pipeline.networks.factory import Network
from pipeline.networks.serialization import load_network, save_network
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network, random_images, sites_of


def settings(macs=0.5, **changes):
    return Distillation(method="prune", compress=Compress(macs=macs), score_steps=2, search_tries=3, **changes)


def images(count=8, seed=0):
    return torch.from_numpy(random_images(count, seed=seed)).permute(0, 3, 1, 2)


def batches(count):
    for number in range(count):
        yield images(8, number), torch.arange(8) // 2


def pair(architecture="resnet10t"):
    """A student, and its teacher of the same weights."""
    student, teacher = (Classified(alive_network(architecture, 2), 4) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    return student, teacher.eval()


def selected(student, teacher, chosen):
    sites = sites_of(student.embedder, chosen.sites)
    model = CostModel(student.embedder, sites, "macs")
    return sites, select_channels(student, teacher, sites, model, chosen, chosen.compress.macs, batches, 0)


@pytest.mark.parametrize(
    ("architecture", "share", "chosen"),
    [
        ("resnet10t", 0.15, {}),
        ("resnet10t", 0.3, {"allocation": "global"}),
        ("resnet10t", 0.3, {"importance": "retrieval", "align": 8}),
        ("resnet26", 0.3, {"importance": "l1", "allocation": "uniform", "sites": "all"}),
        pytest.param(
            "mobilenetv2_035", 0.3, {"importance": "norm", "allocation": "isomorphic"}, marks=pytest.mark.slow
        ),
        pytest.param("regnety_002", 0.3, {"importance": "position", "allocation": "uniform"}, marks=pytest.mark.slow),
        pytest.param("convnext_atto", 0.7, {}, marks=pytest.mark.slow),
        ("resnet10t", 0.3, {"allocation": "searched"}),
    ],
)
def test_a_budget_is_met_and_the_small_network_is_saved_and_loaded(architecture, share, chosen, tmp_path):
    student, teacher = pair(architecture)
    chosen = settings(share, **chosen)
    dense = network_cost(student.embedder, SMALL).macs
    sites, selection = selected(student, teacher, chosen)
    apply_selection(student.embedder, sites, selection)
    cost = network_cost(student.embedder, SMALL).macs / dense
    assert (0.75 if chosen.align > 1 else 0.9) * share <= cost <= share
    for rows, site in zip(selection.kept.values(), sites, strict=True):
        assert len(rows) % chosen.align == 0 or len(rows) == site.channels
    assert len(selection.search) == {"best": 3, "searched": 4}.get(chosen.allocation, 0)
    assert (selection.chosen is not None) == (chosen.allocation == "best")
    save_network(tmp_path, student.embedder, Network(architecture=architecture, last_stride=2, embedding=16), SMALL)
    with torch.inference_mode():
        assert torch.equal(load_network(tmp_path)(images()), student.embedder.eval()(images()))


@pytest.mark.parametrize(
    ("architecture", "which"),
    [
        ("resnet26d", "coupled"),
        ("seresnet18", "coupled"),
        ("efficientnet_b0", "coupled"),
        pytest.param("resnetv2_50", "coupled", marks=pytest.mark.slow),
        pytest.param("convnext_atto", "spatial", marks=pytest.mark.slow),
        pytest.param("regnety_002", "all", marks=pytest.mark.slow),
    ],
)
def test_removal_equals_merging_and_pruning(architecture, which):
    """Two ways to the same small network: channels zeroed by a compactor or gate, or removed beforehand."""
    one, other = alive_network(architecture, 2), alive_network(architecture, 2)
    sites = sites_of(one, which)
    random = torch.Generator().manual_seed(1)
    scores = {site.writer: torch.rand(site.channels, generator=random) for site in sites}
    kept = channels_above(CostModel(one, sites, "macs"), scores, Compress(macs=0.6))
    remove_channels(one, sites, kept)
    norms = {}
    for site, rows in zip(sites, insert_compactors(other, sites).values(), strict=True):
        alive = torch.zeros(site.channels)
        alive[kept[site.writer]] = 1
        rows.scale_rows(alive)
        norms[site.writer] = rows.row_norms().detach()
    for site in sites:
        merge_site(other, site)
    prune_network(other, sites, norms, 1e-5)
    with torch.inference_mode():
        found = [torch.nn.functional.normalize(network.eval()(images())) for network in (one, other)]
    assert torch.allclose(*found, atol=1e-4)  # type: ignore[arg-type, misc]
    assert network_cost(one, SMALL).macs == network_cost(other, SMALL).macs


def test_removal_agrees_with_torch_prunings_graph():
    ours, theirs = alive_network("resnet26d", 2), alive_network("resnet26d", 2)
    site = next(site for site in sites_of(ours, "coupled") if site.coupled)
    graph = torch_pruning.DependencyGraph().build_dependency(theirs, torch.zeros(1, 3, 32, 32))
    cut = torch_pruning.prune_conv_out_channels
    graph.get_pruning_group(theirs.get_submodule(site.writer), cut, idxs=[0, 3]).prune()
    remove_channels(ours, [site], {site.writer: torch.tensor([1, 2, *range(4, site.channels)])})
    with torch.inference_mode():
        assert torch.allclose(ours.eval()(images()), theirs.eval()(images()), atol=1e-5)


def test_duplicate_channels_are_reconstructed_exactly():
    """Half of a site's channels are copies: without them, and with reconstruction, nothing is lost."""
    network = alive_network("resnet10t", 2)
    site = next(site for site in sites_of(network, "coupled") if not site.coupled and "layer2" in site.writer)
    writer, norm = (network.get_submodule(name) for name in (site.writer, site.norm))
    half = site.channels // 2
    with torch.no_grad():
        for values in (writer.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values[half:] = values[:half]
    before = network.eval()(images())
    kept = {site.writer: torch.arange(half)}
    maps = reconstruction_maps(network, [site], kept, input_moments(network, [site], [images(16, 3)]))
    remove_channels(network, [site], kept, maps)
    with torch.inference_mode():
        assert (network(images()) - before).abs().max() < 0.05 * before.abs().max()  # the ridge shrinks it a little


def test_a_reconstructed_reader_keeps_its_size_before_a_norm_and_the_norms_output():
    given, plain = alive_network("resnet10t", 2), alive_network("resnet10t", 2)
    sites = sites_of(given, "coupled")
    site = next(site for site in sites if not site.coupled and "layer2" in site.writer)
    (name,) = site.readers
    kept = {some.writer: torch.arange(some.channels // (4 if some is site else 1)) for some in sites}
    maps = reconstruction_maps(given, sites, kept, input_moments(given, sites, [images(16, 3)]))
    wanted = torch.einsum("oc...,ck->ok...", given.get_submodule(name).weight.detach(), maps[name])
    remove_channels(given, sites, kept, maps)
    remove_channels(plain, sites, kept)
    sizes = [float(network.get_submodule(name).weight.detach().norm()) for network in (given, plain)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)
    assert wanted.norm() > 1.2 * sizes[1]
    with torch.no_grad():
        plain.get_submodule(name).weight.copy_(wanted)
        assert torch.allclose(given.eval()(images()), plain.eval()(images()), rtol=1e-3, atol=1e-4)


def test_reconstruction_brings_a_pruned_student_nearer_to_its_teacher():
    distances = {}
    for reconstruct in (False, True):
        student, teacher = pair()
        sites, selection = selected(student, teacher, settings(0.5, importance="norm", reconstruct=reconstruct))
        apply_selection(student.embedder, sites, selection)
        with torch.inference_mode():
            known, found = teacher.embedder(images(8, 1)), student.embedder.eval()(images(8, 1))
        distances[reconstruct] = 1 - torch.nn.functional.cosine_similarity(known, found).mean()
    assert distances[True] < 0.8 * distances[False]


@pytest.mark.parametrize(
    ("architecture", "lines"),
    [
        ("resnet18", []),
        (
            "convnext_atto",
            [
                "channels can't be removed where layer_norm does not keep channels apart: in backbone.stem.1, those of "
                "backbone.stem.0, and in 3 more modules",
                "channels can't be removed where mul multiplies two maps: in backbone.stages.0.blocks.0, those of "
                "backbone.stages.0.blocks.0.mlp.fc2, and in 11 more modules",
            ],
        ),
        (
            "ghostnet_050",
            [
                "channels can't be removed where cat does not keep channels apart: in backbone.blocks.0.0.ghost2, "
                "those of backbone.conv_stem, and in 31 more modules",
                "channels can't be removed where hardsigmoid does not keep channels apart: in "
                "backbone.blocks.3.0.se.gate, those of backbone.blocks.3.0.se.conv_expand, and in 6 more modules",
            ],
        ),
    ],
)
def test_channels_that_can_not_be_gated_are_reported_with_the_blocking_layer(architecture, lines):
    assert left_whole(alive_network(architecture, 2)) == lines


def test_a_small_student_is_taught_by_the_channels_that_it_kept():
    student, teacher = pair()
    sites, selection = selected(student, teacher, settings(0.6, reconstruct=False))
    apply_selection(student.embedder, sites, selection)
    task = FixedStudent(student, teacher, settings(0.6, features_weight=1), sites, selection.kept)
    task.eval()  # as the teacher: the kept channels of the first site are unchanged
    losses = task(images(), torch.arange(8) // 2)
    first = next(iter(task._kept))
    expected = task._taught.features[first][:, task._kept[first]]
    assert torch.allclose(task._learnt.features[first], expected, atol=1e-4)
    assert 0 < losses["features"] < 5 * task.settings.features_weight


@pytest.mark.parametrize(
    ("importance", "allocation"),
    [
        ("l1", "uniform"), ("taylor", "global"),
        pytest.param("l1", "global", marks=pytest.mark.slow), pytest.param("taylor", "uniform", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_torch_pruning_meets_a_budget(importance, allocation):
    student, teacher = pair()
    chosen = settings(0.3).model_copy(
        update={"method": "torch_pruning", "importance": importance, "allocation": allocation}
    )
    dense = network_cost(student.embedder, SMALL).macs
    prune_with_library(student, teacher, chosen, "macs", 0.3, batches)
    assert 0.2 < network_cost(student.embedder, SMALL).macs / dense <= 0.3
    assert student.embedder.eval()(images()).shape == (8, 16)
