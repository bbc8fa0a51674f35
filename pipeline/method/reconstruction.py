"""Compensates readers for removed channels by a linear combination of the kept ones.

Channels of one layer are correlated. The inputs x (C) of a reader are approximated by a linear map of the K kept ones,
x ≈ M·x_kept, with the least mean squared error over real images,

    M = E[x · x_keptᵀ] · (E[x_kept · x_keptᵀ] + ρ·I)⁻¹,

and the reader's weight W becomes W·M. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV
2017, section 3.1, reconstruct one layer after another in this way; here all readers are reconstructed at once, from the
moments of the dense network, and one map applies to all positions of a kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.networks.sites import Site

RIDGE = 1e-2  # ρ, as a share of the mean square of the kept channels
FLOOR = 1e-9  # added to ρ: all kept channels may be zero


def reconstructed(network: nn.Module, sites: Sequence[Site]) -> dict[str, Site]:
    """By reader, the site whose channels it reads. A grouped reader sees only some of them, and is left out."""
    return {
        name: site for site in sites for name in site.readers if getattr(network.get_submodule(name), "groups", 1) == 1
    }


@torch.no_grad()
def input_moments(network: nn.Module, sites: Sequence[Site], batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """By reader, E[x·xᵀ] of its inputs over images and positions, C×C, in evaluation mode.

    Args:
        batches: images N×3×H×W, on the network's device.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].float()
            rows = x.movedim(1, -1).flatten(0, -2) if x.ndim == 4 else x.flatten(0, -2)
            sums[name] = sums.get(name, 0) + rows.T @ rows
            counts[name] = counts.get(name, 0) + len(rows)

        return hook

    hooks = [
        network.get_submodule(name).register_forward_pre_hook(keep(name)) for name in reconstructed(network, sites)
    ]
    training = network.training
    network.eval()
    try:
        for images in batches:
            network(images)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return {name: total / counts[name] for name, total in sums.items()}


def reconstruction_maps(
    network: nn.Module, sites: Sequence[Site], kept: Mapping[str, Tensor], moments: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """By reader, M, C×K; only for readers that lose inputs.

    Args:
        kept: by the site's writer, indices to keep.
        moments: from `input_moments`.
    """
    maps = {}
    for name, site in reconstructed(network, sites).items():
        rows = kept[site.writer].to(moments[name].device)
        if len(rows) == site.channels:
            continue
        across = moments[name].double()[rows]  # K×C
        within = across[:, rows]
        mean = within.diagonal().mean()
        ridge = (RIDGE * mean + FLOOR) * torch.eye(len(rows), dtype=within.dtype, device=within.device)
        maps[name] = torch.linalg.solve(within + ridge, across).T.float()
    return maps
