"""The order of images in memory: channels last, but not where oneDNN would write past its memory."""

import copy

import pytest
import torch
from torch import nn

from pipeline.networks.factory import Network, build_network
from pipeline.training.learner import Learner
from pipeline.training.memory_format import memory_format_on
from pipeline.training.schedule import Supervision
from pipeline.training.supervised import Classified, SupervisedTask
from tests.helpers import SMALL, alive_network, random_images


@pytest.mark.parametrize(
    ("architecture", "on_a_cpu"),
    [
        ("resnet10t", torch.channels_last),
        ("resnet18", torch.channels_last),
        ("mobilenetv2_035", torch.channels_last),
        ("mobileone_s0", torch.contiguous_format),
        ("repvgg_a0", torch.contiguous_format),
    ],
)
def test_networks_train_with_channels_last_except_some_on_cpus(architecture, on_a_cpu):
    network = build_network(Network(architecture=architecture, last_stride=2), SMALL)
    assert memory_format_on(torch.device("cpu"), network) == on_a_cpu
    assert memory_format_on(torch.device("cuda"), network) == torch.channels_last


@pytest.mark.parametrize("channels", [3, 8, 16])
def test_gradients_of_a_strided_convolution_of_single_pixels_are_right(channels):
    """With channels last and few channels they crashed in oneDNN 3.13 with AVX2."""
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 32, 1, stride=2, bias=False)
    memory_format = memory_format_on(torch.device("cpu"), layer)
    layer.to(memory_format=memory_format)
    images = torch.rand(8, channels, 32, 32)
    exact = copy.deepcopy(layer).double()
    layer(images.contiguous(memory_format=memory_format)).square().sum().backward()
    exact(images.double()).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-2)


def test_a_network_that_begins_with_one_trains_on_a_cpu():
    torch.manual_seed(0)
    task = SupervisedTask(Classified(alive_network("mobileone_s0", 2), 4), Supervision()).train()
    images = torch.from_numpy(random_images(8, SMALL)).permute(0, 3, 1, 2)
    learn = Learner(task, Supervision(lr=1e-4), "cpu")
    for _ in range(3):
        assert learn(images, torch.arange(8) // 2, 0.0)["loss"].isfinite()
