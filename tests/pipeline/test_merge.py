"""Merging and pruning are exact, and the saved network is an ordinary one."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from pipeline.method.compactor import Compacted, Compactor, Gated, insert_compactors
from pipeline.method.merge import fold_norm, kept_rows, kernel_of, merge_compactor, merge_site, prune_network
from pipeline.networks.cost import graph_cost, macs_by_module, network_cost
from pipeline.networks.factory import Network
from pipeline.networks.layers import Constant
from pipeline.networks.serialization import load_network, save_network
from pipeline.stages.export import deployed, write_graph
from tests.helpers import SMALL, alive_network, dense_macs, enliven, random_images, settle, sites_of

FAMILIES = [
    ("resnet10t", "spatial"),
    ("resnet26", "spatial"),
    ("resnet26d", "all"),
    ("resnext50_32x4d", "all"),
    ("seresnet18", "spatial"),
    ("regnetx_002", "all"),
    ("regnety_002", "all"),
    ("mobilenetv2_035", "spatial"),
    ("mobilenetv3_small_050", "spatial"),
    ("efficientnet_b0", "spatial"),
    ("convnext_atto", "spatial"),
    ("vit_tiny_patch16_224", "spatial"),
    ("resnet10t", "coupled"),
    ("resnet26d", "coupled"),
    ("seresnet18", "coupled"),
    ("resnetv2_50", "coupled"),
    ("regnety_002", "coupled"),
    ("mobilenetv2_035", "coupled"),
    ("efficientnet_b0", "coupled"),
    ("vgg11_bn", "coupled"),
    ("convnext_atto", "coupled"),
    ("repvgg_a0", "coupled"),  # identity branches are norms of the stream
]
QUICK = [("resnet10t", "spatial")]
SLOW = ("resnet10t", "resnetv2_50", "regnety_002", "vgg11_bn", "convnext_atto", "repvgg_a0")  # whose streams take long
LARGE = ("resnext50_32x4d", "efficientnet_b0", "resnet26d")  # relatives of which are tested too
PRUNED = [
    pytest.param(
        name,
        sites,
        marks=pytest.mark.slow if (sites == "coupled" and name in SLOW) or name in LARGE else (),
        id=f"{name}-{sites}",
    )
    for name, sites in FAMILIES
]
EXPORTED = [
    pytest.param(*family, marks=() if family in QUICK else pytest.mark.slow, id="-".join(family)) for family in FAMILIES
]


def compacted(architecture, which="spatial", dead=0.4, empty=()):
    """A network whose compactors are random, with a share of rows at zero, and all of the sites in `empty`."""
    network = alive_network(architecture, 2)
    sites = sites_of(network, which)
    random = torch.Generator().manual_seed(1)
    norms = {}
    with torch.no_grad():
        for number, module in enumerate(insert_compactors(network, sites).values()):
            weight = module.weight
            weight.copy_(weight + 0.1 * torch.randn(weight.shape, generator=random))
            weight[torch.rand(len(weight), generator=random) < (1 if number in empty else dead)] = 0
            norms[sites[number].writer] = module.row_norms().detach()
    return settle(network), sites, norms


def embed(network, images):
    """Unit embeddings, as they are compared."""
    return nn.functional.normalize(network(images))


def check_pruned(network, sites, norms, architecture, folder, align=1):
    """Merge, prune, save, load: embeddings are unchanged; returns the loaded network and the original embeddings."""
    images = torch.from_numpy(random_images(8)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        before = embed(network, images)
        for site in sites:
            merge_site(network, site)
        assert (embed(network, images) - before).abs().max() < 1e-4
        prune_network(network, sites, norms, 1e-5, align)
        assert (embed(network, images) - before).abs().max() < 1e-4
        save_network(folder, network, Network(architecture=architecture, last_stride=2, embedding=16), SMALL)
        rebuilt = load_network(folder)
        assert torch.equal(rebuilt(images), network(images))
    assert not any(isinstance(module, Compacted | Compactor | Gated) for module in rebuilt.modules())
    assert network_cost(rebuilt, SMALL).macs < dense_macs(architecture)
    return rebuilt, before


def check_exported(network, before, folder):
    """Export, and run at another batch size than exported with."""
    images = random_images(8)
    write_graph(deployed(network), images, 18, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(None, {"images": images[:5]})
    assert np.abs(embeddings - before.numpy()[:5]).max() < 1e-4


def is_alive(embeddings):
    """Whether embeddings of images differ; parity of constants would prove nothing."""
    return embeddings.std(0).max() > 0.01


@pytest.mark.parametrize(("architecture", "which"), PRUNED)
def test_a_pruned_network_has_the_students_embeddings(architecture, which, tmp_path):
    _, before = check_pruned(*compacted(architecture, which), architecture, tmp_path)  # type: ignore[call-arg]
    assert is_alive(before)


@pytest.mark.parametrize(("architecture", "which"), EXPORTED)
def test_a_pruned_network_is_exported_as_it_is(architecture, which, tmp_path):
    rebuilt, before = check_pruned(*compacted(architecture, which), architecture, tmp_path)  # type: ignore[call-arg]
    check_exported(rebuilt, before, tmp_path)
    cost, graph = network_cost(rebuilt, SMALL), graph_cost(tmp_path / "model.onnx")
    assert (graph.macs, graph.kernel_parameters) == (cost.macs, cost.kernel_parameters)


def without_branches(architecture):
    """`compacted`, with all rows at zero at every site that has a branch of its own."""
    branches = [n for n, site in enumerate(sites_of(alive_network(architecture, 2))) if site.branch]
    return compacted(architecture, empty=branches)


@pytest.mark.parametrize("architecture", ["resnet26", "regnety_002", "mobilenetv2_035", "convnext_atto"])
def test_a_site_without_living_rows_takes_its_branch_with_it(architecture, tmp_path):
    network, sites, norms = without_branches(architecture)
    rebuilt, before = check_pruned(network, sites, norms, architecture, tmp_path)
    assert is_alive(before)
    constants = [module for module in rebuilt.modules() if isinstance(module, Constant)]
    assert len(constants) == sum(bool(site.branch) for site in sites) > 0
    macs = macs_by_module(rebuilt, SMALL)
    for site in sites:
        assert not site.branch or not any(macs.get(name) for name in site.branch)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet26", "convnext_atto"])
def test_a_network_without_branches_is_exported_as_it_is(architecture, tmp_path):
    network, sites, norms = without_branches(architecture)
    rebuilt, before = check_pruned(network, sites, norms, architecture, tmp_path)
    check_exported(rebuilt, before, tmp_path)


@pytest.mark.parametrize("architecture", ["resnet26", "mobilenetv3_small_050"])
def test_widths_are_aligned_without_changing_anything(architecture, tmp_path):
    network, sites, norms = compacted(architecture)
    rebuilt, _ = check_pruned(network, sites, norms, architecture, tmp_path, align=8)
    assert all(len(rebuilt.get_submodule(site.writer).weight) % 8 == 0 for site in sites)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("normed", [False, True])
def test_folding_and_merging_one_convolution(stride, padding, bias, groups, normed):
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3, stride=stride, padding=padding, bias=bias, groups=groups)
    norm = nn.BatchNorm2d(6).eval() if normed else nn.Identity()
    enliven(norm)
    compactor = Compactor(6, groups=groups)
    nn.init.normal_(compactor.weight)
    x = torch.randn(2, 3, 9, 9)
    kernel = kernel_of(conv)
    merged = merge_compactor(fold_norm(kernel, norm) if normed else kernel, compactor)  # type: ignore[arg-type]
    with torch.no_grad():
        expected = compactor(norm(conv(x)))
        found = nn.functional.conv2d(
            x, merged.weight.float(), merged.bias.float(), stride=stride, padding=padding, groups=groups
        )
    assert torch.allclose(found, expected, atol=1e-5)


def test_merging_one_linear_layer():
    torch.manual_seed(0)
    layer, compactor = nn.Linear(5, 4), Compactor(4, linear=True)
    nn.init.normal_(compactor.weight)
    x = torch.randn(2, 7, 5)
    merged = merge_compactor(kernel_of(layer), compactor)
    with torch.no_grad():
        found = nn.functional.linear(x, merged.weight.float(), merged.bias.float())
        assert torch.allclose(found, compactor(layer(x)), atol=1e-6)


@pytest.mark.parametrize(
    ("norms", "chunks", "align", "kept"),
    [
        ([1e-9, 0.5, 1e-5, 0.0], 1, 1, [1, 2]),
        ([0.0, 0.0, 0.0, 0.0], 1, 1, []),
        ([1e-6, 0.3, 0.0, 0.2], 1, 3, [1, 3, 0]),  # the next largest fills up
        ([0.1, 0.2, 0.0, 1e-7], 2, 1, [0, 1, 2, 3]),  # as many in each half
        ([0.1, 0.0, 1e-7, 1e-6], 2, 1, [0, 3]),
        ([0.1, 0.0, 0.0, 0.0], 1, 8, [0, 1, 2, 3]),  # never more than there are
    ],
)
def test_rows_that_are_kept(norms, chunks, align, kept):
    assert kept_rows(torch.tensor(norms), 1e-5, chunks, align).tolist() == sorted(kept)


@pytest.mark.slow
def test_a_site_without_a_branch_never_loses_all_its_rows():
    network, sites, norms = compacted("vgg11_bn", empty=[2])
    for site in sites:
        merge_site(network, site)
    prune_network(network, sites, norms, 1e-5)
    assert len(network.get_submodule(sites[2].writer).weight) == 1
    assert network(torch.from_numpy(random_images(2)).permute(0, 3, 1, 2)).isfinite().all()


def test_macs_of_a_convolution():
    network = alive_network("resnet10t")
    conv = network.get_submodule("backbone.layer1.0.conv1")
    assert macs_by_module(network, SMALL)["backbone.layer1.0.conv1"] == conv.weight.numel() * 8 * 8
