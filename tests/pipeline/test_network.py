"""Sources of weights, and refusals."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from pipeline.data.images import Input
from pipeline.errors import WeightsError
from pipeline.networks.factory import Network, build_backbone, build_network, normalisation_of
from tests.helpers import enliven


@pytest.fixture
def weights(tmp_path):
    """A file as timm publishes them: all of the network, classifier included."""
    network = timm.create_model("resnet10t")
    enliven(network)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def is_loaded(backbone, weights):
    from safetensors.torch import load_file

    published = load_file(weights)
    return all(torch.equal(value, published[name]) for name, value in backbone.state_dict().items())


def test_weights_from_a_local_file(weights):
    assert is_loaded(build_backbone("resnet10t", Input(), weights), weights)


@pytest.mark.parametrize("name", ["resnet18.mine", "resnet18.a1_in22k"])
def test_an_unknown_tag_is_refused_with_those_that_there_are(name):
    told = f"^timm has no weights '{name}'. Known: resnet18.a1_in1k, .*; or leave the tag out: resnet18$"
    with pytest.raises(WeightsError, match=told):
        build_network(Network(architecture=name), Input())
    assert normalisation_of(name) is None


def test_weights_that_do_not_fit(weights, tmp_path):
    with pytest.raises(WeightsError, match=r"resnet18: of its 120 tensors \d+ are missing \(.*have another"):
        build_backbone("resnet18", Input(), weights)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="can't read weights .*broken"):
        build_backbone("resnet10t", Input(), broken)


@pytest.mark.parametrize("architecture", ["resnet10t", "resnet18", "resnet50", "resnet50d"])
def test_last_stride_one_doubles_the_last_map(architecture):
    size = Input(height=64, width=96)
    maps = []
    for stride in (2, 1):
        embedder = build_network(Network(architecture=architecture, last_stride=stride, embedding=8), size).eval()
        maps.append(embedder.backbone(torch.zeros(1, 3, 64, 96)).shape[2:])
    assert (tuple(maps[0]), tuple(maps[1])) == ((2, 3), (4, 6))


def test_an_architecture_without_a_last_stage():
    with pytest.raises(WeightsError, match="set `network.last_stride: 2`"):
        build_network(Network(architecture="vgg11_bn"), Input())


def test_a_size_that_is_no_multiple_of_the_patch():
    network = Network(architecture="vit_tiny_patch16_224", last_stride=2, embedding=16)
    with pytest.raises(WeightsError, match=r"patches of 16×16 .*Change input.width 40 to 32 or 48\."):
        build_network(network, Input(height=32, width=40))
    assert build_network(network, Input(height=32, width=48))


@pytest.mark.parametrize(
    ("architecture", "channels"), [("resnet10t", 512), ("test_mambaout", 256), ("sequencer2d_s", 384), ("test_vit", 64)]
)
def test_maps_are_pooled_over_height_and_width_wherever_their_channels_are(architecture, channels):
    size = Input(height=96, width=96)
    network = build_network(Network(architecture=architecture, last_stride=2, embedding=8), size).eval()
    assert network.head[0].num_features == channels
    with torch.inference_mode():
        images = 255 * torch.rand(2, 3, size.height, size.width)
        pooled = network.features(images).pooled
        assert pooled.shape == (2, channels)
        shifted = network.features(images.flip(0)).pooled
    torch.testing.assert_close(shifted, pooled.flip(0), rtol=1e-3, atol=1e-4)
    assert (pooled[0] - pooled[1]).norm() > 1e-3 * pooled.norm()
