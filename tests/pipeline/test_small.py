"""Students that are made small at one moment: which channels go, how many, and that nothing else changes."""

import pytest
import torch

from pipeline.errors import BudgetError
from pipeline.method.compactor import insert_compactors
from pipeline.method.cost_model import CostModel
from pipeline.method.merge import merge_site, prune_network
from pipeline.method.settings import Compress, Distillation
from pipeline.method.small import FixedStudent, choose_channels, importance, most_important, remove_channels
from pipeline.networks.build import Network
from pipeline.networks.cost import network_cost
from pipeline.networks.saved import load_network, save_network
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified
from tests.helpers import SMALL, alive_network, random_images

METHODS = ["narrow", "uniform_l1", "two_stage"]


def settings(method="narrow", align=1, **compress):
    return Distillation(method=method, compress=Compress(**(compress or {"macs": 0.5})), align=align)


@pytest.mark.parametrize(
    ("architecture", "share", "method", "align"),
    [
        ("resnet26", 0.5, "narrow", 1),
        ("resnet26", 0.5, "uniform_l1", 8),
        ("mobilenetv3_small_050", 0.7, "two_stage", 8),
        ("vit_tiny_patch16_224", 0.7, "uniform_l1", 1),
    ],
)
def test_a_budget_is_met_and_the_small_network_is_saved_and_loaded(architecture, share, method, align, tmp_path):
    network = alive_network(architecture, 2)
    dense, sites = network_cost(network, SMALL).macs, find_sites(network)
    kept = choose_channels(network, sites, settings(method, align, macs=share))
    remove_channels(network, sites, kept)
    cost = network_cost(network, SMALL).macs / dense
    assert (0.9 if align > 1 else 0.97) * share <= cost <= share
    assert all(len(rows) % align == 0 or len(rows) == s.channels for rows, s in zip(kept.values(), sites, strict=True))
    save_network(tmp_path, network, Network(architecture=architecture, last_stride=2, embedding=16), SMALL)
    images = torch.from_numpy(random_images(4)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        assert torch.equal(load_network(tmp_path)(images), network.eval()(images))


@pytest.mark.parametrize(
    "architecture",
    ["resnet26d", "efficientnet_b0", "convnext_atto", "regnety_002", pytest.param("vgg11_bn", marks=pytest.mark.slow)],
)
def test_what_torch_pruning_removes_is_what_merging_and_pruning_removes(architecture):
    """Two independent ways to the same small network: channels that are zero behind a compactor, or cut beforehand."""
    one, other = alive_network(architecture, 2), alive_network(architecture, 2)
    sites = find_sites(one)
    scores = {site.writer: torch.rand(site.channels, generator=torch.manual_seed(1)) for site in sites}
    kept = most_important(CostModel(one, sites, "macs"), scores, Compress(macs=0.8))
    remove_channels(one, sites, kept)
    norms = {}
    for site, module in zip(sites, insert_compactors(other, sites).values(), strict=True):
        with torch.no_grad():
            dead = torch.ones(site.channels, dtype=torch.bool)
            dead[kept[site.writer]] = False
            module.weight[dead] = 0
        norms[site.writer] = module.row_norms().detach()
    for site in sites:
        merge_site(other, site)
    prune_network(other, sites, norms, 1e-5)
    images = torch.from_numpy(random_images(4)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pair = [torch.nn.functional.normalize(network.eval()(images)) for network in (one, other)]
    assert torch.allclose(*pair, atol=1e-4)


def test_uniform_l1_takes_the_smallest_filters_of_every_site_alike():
    network = alive_network("resnet26")
    sites = find_sites(network)
    kept = choose_channels(network, sites, settings("uniform_l1"))
    shares = [len(kept[site.writer]) / site.channels for site in sites]
    assert max(shares) - min(shares) < 0.02
    for site in sites:
        l1 = network.get_submodule(site.writer).weight.abs().sum((1, 2, 3))
        gone = sorted({*range(site.channels)} - set(kept[site.writer].tolist()))
        assert l1[gone].max() <= l1[kept[site.writer]].min()


def test_two_stages_take_the_smallest_rows_wherever_they_are():
    network = alive_network("resnet26")
    sites = find_sites(network)
    with torch.no_grad():
        network.get_submodule(sites[0].norm).weight[:40] *= 1e-3  # forty channels that do next to nothing
    kept = choose_channels(network, sites, settings("two_stage", macs=0.9))
    assert kept[sites[0].writer].min() >= 40
    shares = [len(kept[site.writer]) / site.channels for site in sites]
    assert shares[0] < min(shares[1:])


def test_narrow_students_do_not_look_at_weights():
    one, other = alive_network("resnet26"), alive_network("resnet26")
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(torch.rand_like(weight))
    kept = [choose_channels(network, find_sites(network), settings("narrow")) for network in (one, other)]
    assert all(torch.equal(kept[0][name], rows) for name, rows in kept[1].items())


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_that_only_whole_branches_could_meet_is_refused(method):
    network = alive_network("resnet26")
    with pytest.raises(BudgetError, match=r"macs 0.05 can't be met .* only method: cdd does: .* 0\.\d+ of the dense"):
        choose_channels(network, find_sites(network), settings(method, macs=0.05))


def test_importance_is_comparable_across_sites():
    network = alive_network("mobilenetv3_small_050", 2)
    for method in METHODS:
        for site, score in zip(sites := find_sites(network), importance(network, sites, method).values(), strict=True):
            assert score.shape == (site.channels,)
            assert 0.3 < score.mean() < 1.1


def test_a_small_student_is_taught_by_the_channels_that_it_kept():
    teacher, student = (Classified(alive_network(), 4) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    task = FixedStudent(student, teacher, settings("uniform_l1", macs=0.6), cut=True)
    images = torch.from_numpy(random_images(8)).permute(0, 3, 1, 2)
    task.eval()  # as the teacher: what is left of the first site computes what it computed
    task(images, torch.arange(8) // 2)
    first = next(iter(task._kept))
    expected = task._taught.features[first][:, task._kept[first]]
    assert torch.allclose(task._learnt.features[first], expected, atol=1e-4)
    assert len(task._kept[first]) < 64
