"""Helpers shared by several tests."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline.data.images import Input
from pipeline.method.cost_model import WidthCost
from pipeline.method.widths import least_widths
from pipeline.networks.cost import network_cost
from pipeline.networks.embedder import Embedder
from pipeline.networks.factory import Network, build_network
from pipeline.networks.site import Site
from pipeline.networks.sites import Which, find_sites
from pipeline.stages.export import same_neighbours
from targets.contract import Session

SMALL = Input(height=32, width=32)
REAL_DATA = Path(os.environ.get("ZOO_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Folder with real data sets, and `weights` with real weights. Tests that need it are skipped without it."""


@torch.no_grad()
def enliven(network: nn.Module, seed: int = 0) -> None:
    """Random norms everywhere: timm leaves the last norm of every block at zero, and parity would prove nothing."""
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=random))
            module.bias.copy_(0.2 * torch.randn(module.bias.shape, generator=random))
            module.running_mean.copy_(0.2 * torch.randn(module.bias.shape, generator=random))
            module.running_var.copy_(0.5 + torch.rand(module.bias.shape, generator=random))


@torch.no_grad()
def settle(network: Embedder, size: Input = SMALL) -> Embedder:
    """Set norms to the statistics of one batch, as after training: embeddings are then of size 1."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()(torch.from_numpy(random_images(32, size, seed=9)).permute(0, 3, 1, 2))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def alive_network(architecture: str = "resnet10t", last_stride: int = 1, size: Input = SMALL) -> Embedder:
    """A network in evaluation mode, with random weights and no dead branch."""
    torch.manual_seed(0)
    network = build_network(Network(architecture=architecture, last_stride=last_stride, embedding=16), size)
    enliven(network)
    return settle(network, size)


_found: dict[tuple[str, Input, Which], list[Site]] = {}


def sites_of(network: Embedder, which: Which = "spatial") -> list[Site]:
    """`find_sites` of a network as it is built. Networks of the same layers have the same sites: one of them is traced.

    For tests of what is done with sites; those of `find_sites` itself call that.
    """
    key = (repr(network), network.size, which)
    if key not in _found:
        _found[key] = find_sites(network, which)
    return list(_found[key])


def least_share(model: WidthCost) -> float:
    """Cost with every removable channel removed, as a share of the dense network's."""
    return model(least_widths([*model.sites.values()], 1)) / model.dense


@cache
def dense_macs(architecture: str, last_stride: int = 2) -> int:
    """Multiplications and additions of `alive_network`, for one image."""
    return network_cost(alive_network(architecture, last_stride), SMALL).macs


def random_images(count: int, size: Input = SMALL, seed: int = 0) -> np.ndarray:
    """uint8 N×H×W×3."""
    return np.random.default_rng(seed).integers(0, 256, (count, size.height, size.width, 3), np.uint8)


def assert_embeds_at_any_batch(session: Session, images: np.ndarray, expected: np.ndarray) -> None:
    """Check for float32 N×D equal to torch's at any batch size."""
    for count in (len(images), 1, 4):
        found = session.embed(images[:count])
        assert found.dtype == np.float32
        assert found.shape == (count, expected.shape[1])
        assert np.allclose(found, expected[:count], atol=1e-5)
    assert same_neighbours(expected, session.embed(images))


def free_port() -> int:
    """A free port of this machine."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def draw_vehicles(root: Path, train: int = 8, test: int = 4, cameras: int = 2, shots: int = 2) -> Path:
    """A tiny set in VeRi-776's layout: each identity is a colour and a bar, seen with noise."""
    random = np.random.default_rng(0)
    for folder in ("image_train", "image_query", "image_test"):
        (root / folder).mkdir(parents=True)
    for identity in range(train + test):
        colour, bar = random.integers(0, 256, 3), int(random.integers(2, 28))
        for camera in range(cameras):
            for shot in range(shots):
                pixels = np.clip(colour + random.normal(0, 20, (32, 32, 3)), 0, 255)
                pixels[bar : bar + 3] = 255 - colour
                folder = "image_train" if identity < train else ("image_test" if shot else "image_query")
                name = f"{identity:04d}_c{camera:03d}_{identity * 100 + camera * 10 + shot:08d}_{shot}.jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(root / folder / name)
    return root
