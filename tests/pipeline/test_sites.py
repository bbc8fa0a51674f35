"""Sites are found in the structure of a network, whatever the family."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline.errors import PipelineError
from pipeline.networks.embedder import Embedder
from pipeline.networks.graph import Graph, operation
from pipeline.networks.pairs import check_all_paired, pair_writers
from pipeline.networks.site import Site, Writer
from pipeline.networks.sites import find_sites
from tests.helpers import SMALL, alive_network

ENDS = [
    ("resnet10t", "spatial", 4, {"conv1"}),
    ("resnet18d", "all", 8, {"conv1"}),
    ("resnet26", "spatial", 8, {"conv2"}),
    ("resnet26d", "all", 16, {"conv1", "conv2"}),
    ("resnext50_32x4d", "all", 32, {"conv1", "conv2"}),
    ("regnety_002", "spatial", 13, {"conv2.conv"}),
    ("mobilenetv3_small_050", "spatial", 12, {"conv_pw", "conv"}),
    ("efficientnet_b0", "spatial", 17, {"conv_pw"}),
    ("convnext_atto", "spatial", 12, {"mlp.fc1"}),
    ("vit_tiny_patch16_224", "spatial", 12, {"mlp.fc1"}),
    ("deit_tiny_patch16_224", "all", 12, {"mlp.fc1"}),
    ("vgg11_bn", "spatial", 8, {"features"}),
]
LARGE = ("resnext50_32x4d", "efficientnet_b0", "deit_tiny_patch16_224", "vgg11_bn")  # a relative of most stands above


ACTIVATIONS = (
    *(nn.CELU, nn.ELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6),
    *(nn.SELU, nn.SiLU),
)


@pytest.mark.parametrize("in_place", [False, True])
def test_activations_are_element_wise_without_tags_of_torch(in_place, monkeypatch):
    """Before 2.13, torch has no tag on most activations in place; before 2.11, not on all others."""
    network = nn.Sequential(*(kind(inplace=in_place) for kind in ACTIVATIONS))
    others = [nn.GELU(), nn.LogSigmoid(), nn.Sigmoid(), nn.Softplus(), nn.Tanh(), nn.Threshold(0.0, 0.0, in_place)]
    graph = Graph(network.extend(others), torch.zeros(2, 3, 4, 4))
    nodes = [node for node in graph.nodes if operation(node)]
    assert len(nodes) >= len(network)
    monkeypatch.setattr(torch, "Tag", SimpleNamespace(pointwise=None))
    assert [operation(node) for node in nodes if not graph.element_wise(node)] == []


@pytest.mark.parametrize(
    ("architecture", "which", "count", "ends"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] in LARGE else ()) for one in ENDS],
)
def test_sites_of_a_family(architecture, which, count, ends):
    sites = find_sites(alive_network(architecture, 2), which)
    assert len(sites) == count
    assert all(any(end in site.writer for end in ends) for site in sites), sites


def test_sites_of_a_bottleneck_are_the_papers():
    network = alive_network("resnet26")
    first = find_sites(network)[0]
    assert (first.writer, first.norm, first.readers) == (
        "backbone.layer1.0.conv2",
        "backbone.layer1.0.bn2",
        ("backbone.layer1.0.conv3",),
    )
    assert (first.channels, first.groups, first.chunks, first.linear) == (64, 1, 1, False)
    assert first.branch == tuple(
        f"backbone.layer1.0.{name}" for name in ("conv1", "bn1", "act1", "conv2", "bn2", "act2")
    )
    assert [site.writer for site in find_sites(network, "all")][:2] == [
        "backbone.layer1.0.conv1",
        "backbone.layer1.0.conv2",
    ]


def test_an_inverted_residual_carries_its_channels_through_a_depthwise_convolution_and_a_factor():
    site = next(s for s in find_sites(alive_network("efficientnet_b0", 2)) if s.writer == "backbone.blocks.1.1.conv_pw")
    block = "backbone.blocks.1.1"
    assert site == Site(
        writers=(Writer(f"{block}.conv_pw", f"{block}.bn1", linear=False),),
        channels=144,
        groups=1,
        chunks=1,
        channelwise=(f"{block}.conv_dw", f"{block}.bn2"),
        shifting=(f"{block}.bn2",),
        factors=(f"{block}.se.conv_expand",),
        readers=(f"{block}.se.conv_reduce", f"{block}.conv_pwl"),
        branch=(f"{block}.conv_pw", f"{block}.bn1", f"{block}.conv_dw", f"{block}.bn2", f"{block}.se"),
        branch_map=(8, 8),
        resolution=64,
        spatial=True,
        stem=False,
    )


def test_a_grouped_reader_keeps_its_groups_equal():
    sites = {site.writer: site for site in find_sites(alive_network("resnext50_32x4d", 2), "all")}
    assert (sites["backbone.layer1.0.conv1"].groups, sites["backbone.layer1.0.conv1"].chunks) == (1, 32)
    assert (sites["backbone.layer1.0.conv2"].groups, sites["backbone.layer1.0.conv2"].chunks) == (32, 32)


def test_a_deeper_teacher_is_paired_within_stages_by_relative_depth():
    student, teacher = (find_sites(alive_network(name)) for name in ("resnet26", "resnet50"))  # 2222 and 3463 blocks
    pairs = {name: writer.layer for name, writer in pair_writers(student, teacher).writers.items()}
    block = "backbone.layer{}.{}.conv2".format
    assert pairs == {
        block(stage, place): block(stage, (0, depth - 1)[place])
        for stage, depth in ((1, 3), (2, 4), (3, 6), (4, 3))
        for place in (0, 1)
    }
    alike = {name: writer.layer for name, writer in pair_writers(teacher, teacher).writers.items()}
    assert alike == {block(stage, place): block(stage, place) for stage, depth in enumerate((3, 4, 6, 3), 1)
                     for place in range(depth)}  # fmt: skip


def test_a_teacher_of_other_widths_is_compared_where_it_is_as_wide():
    student, teacher = (find_sites(alive_network(f"tf_efficientnet_lite{n}", 2), "coupled") for n in (0, 2))
    found = pair_writers(student, teacher)
    layers = {writer.layer: site for sites in (student, teacher) for site in sites for writer in site.writers}
    assert {*found.writers, *found.left_out} == {writer.layer for site in student for writer in site.writers}
    widths = {layer: (layers[layer].channels, layers[writer.layer].channels) for layer, writer in found.writers.items()}
    stem, head = "backbone.conv_stem", "backbone.conv_head"
    assert found.writers[stem].layer == stem
    assert found.writers[head].layer == head
    assert "backbone.blocks.4.0.conv_pwl" in found.left_out  # 112 and 120 channels wide
    assert all(own == other for own, other in widths.values())
    (line,) = found.told()
    assert f"compared in {len(widths)} of {len(widths) + len(found.left_out)} layers only: elsewhere the te" in line


def test_stages_that_can_not_be_matched_are_left_out():
    student, wide, other = (
        find_sites(alive_network(name, stride))
        for name, stride in (("resnet10t", 1), ("resnet26", 1), ("mobilenetv3_small_050", 2))
    )
    assert not pair_writers(student, wide).told()  # as wide in its basic blocks as the other in its bottlenecks
    found = pair_writers(student, other)
    assert not found.writers
    assert "compared in no layer, and distill.features_weight is unused" in found.told()[0]
    with pytest.raises(PipelineError, match=r"rggr.by.*widths \[64, 128, 256, 512\] in the student.*method: prune"):
        check_all_paired(student, other, "distill.rggr.by: retrieval")


@pytest.mark.parametrize(
    "backbone",
    [
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU()),
        nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.Sigmoid(), nn.Conv2d(5, 6, 3), nn.GroupNorm(2, 6)
        ),  # a zero channel would not stay zero
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6)),
    ],
)
def test_a_network_without_sites_is_refused_with_its_layers(backbone):
    network = Embedder(backbone, 6, 8, SMALL)
    with pytest.raises(
        PipelineError, match=r"no site .*\(sites: all\).*\(\d conv2d\).*depthwise.*another architecture"
    ):
        find_sites(network, "all")


def test_where_only_streams_can_shrink_the_refusal_says_how():
    network = Embedder(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()), 6, 8, SMALL)
    for which in ("spatial", "all"):
        with pytest.raises(PipelineError, match="`distill.sites: coupled` would find 1"):
            find_sites(network, which)


def test_finding_sites_leaves_the_network_as_it_was():
    network = alive_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    find_sites(network)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
