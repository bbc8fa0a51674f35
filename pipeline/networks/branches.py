"""Branches that training needs and a device does not: several convolutions of one input whose results are added.

RepVGG, MobileOne, FastViT and others are trained so, and are one convolution on the device (Ding et al., "RepVGG", CVPR
2021). The algebra is timm's.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder


def _fusible(module: nn.Module) -> bool:
    """Whether timm can make one convolution of a module's branches. Norms alone are folded elsewhere."""
    if hasattr(module, "reparameterize") or hasattr(module, "switch_to_deploy"):
        return True
    return hasattr(module, "fuse") and sum(isinstance(part, nn.Conv2d) for part in module.modules()) > 1


def branched(embedder: Embedder, touched: Container[str] = ()) -> list[str]:
    """Names of the outermost modules with branches that can be fused and are not.

    Args:
        touched: layers whose norm has been folded: what holds one keeps its branches.
    """
    found: list[str] = []
    for name, module in embedder.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in (*found, *embedder.fused))
        if name and name not in embedder.fused and not inside and _fusible(module):
            found.append(name)
    return [
        name
        for name in found
        if not any(f"{name}.{part}" in touched for part, _ in embedder.get_submodule(name).named_modules())
    ]


def _tell_widths(module: nn.Module) -> None:
    """Some blocks note their widths when they are made, and read them when they are fused: channels may have gone."""
    for part in module.modules():
        main = getattr(part, "conv_kxk", None) or getattr(part, "dw_conv_list", None)
        if isinstance(main, nn.Module):
            conv = next(one for one in main.modules() if isinstance(one, nn.Conv2d))
            noted = {"in_channels": conv.in_channels, "out_channels": conv.out_channels, "groups": conv.groups}
            for name, value in {**noted, "in_chs": conv.in_channels}.items():
                if name in vars(part):
                    setattr(part, name, value)


@torch.no_grad()
def fuse_branches(embedder: Embedder, names: Sequence[str] | None = None) -> Embedder:
    """A copy in evaluation mode whose branches are one convolution each; the same embedder if it has none.

    Embeddings stay what they were, up to rounding.

    Args:
        names: of modules to fuse; left out, all that can be.
    """
    from timm.utils.model import reparameterize_model

    names = branched(embedder) if names is None else names
    if not names:
        return embedder
    fused = copy.deepcopy(embedder).eval()
    for name in names:
        module = fused.get_submodule(name)
        _tell_widths(module)
        holder = nn.Sequential(module).double()  # timm's function goes through children; fusing is done once
        reparameterize_model(holder, inplace=True)
        fused.set_submodule(name, holder.float()[0])
    fused.fused = (*fused.fused, *names)
    return fused
