"""The same results on a GPU."""

import pytest
import torch

from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Resetting
from tests.helpers import alive_network, random_images

pytestmark = pytest.mark.gpu


def test_masks_are_those_of_the_cpu():
    settings, masks = Resetting(bank=64), []
    for device in ("cpu", "cuda"):
        random = torch.Generator().manual_seed(0)
        weak = torch.linspace(0.01, 2.0, 32) ** 2
        resetting = GradientResetting({"a": 32}, settings).to(device)
        for _ in range(4):
            teacher, student = (torch.randn(16, 32, generator=random) * weak for _ in range(2))
            resetting.update({"a": teacher.to(device)}, {"a": student.to(device)})
        masks.append(resetting.mask("a").cpu())
    assert torch.equal(*masks)
    assert 0 < masks[0].sum() < 32


def test_embeddings_are_those_of_the_cpu():
    network, images = alive_network(), torch.from_numpy(random_images(8)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        here = network(images)
        there = network.cuda()(images.cuda()).cpu()
    assert torch.nn.functional.cosine_similarity(here, there).min() > 0.9999
