"""Merging and pruning: from a convolution, its norm and its compactor to one smaller convolution.

Xie et al., CVPR 2023, section 3.2; the same algebra as ResRep (Ding et al., ICCV 2021).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.method.compactor import CompactedNorm
from pipeline.networks.sites import Site
from pipeline.networks.widths import like_conv, set_width


@torch.no_grad()
def fold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """W' = W·γ/σ per output channel, b' = β + (b − μ)·γ/σ. In double precision, as it is done once."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.double() / (variance + norm.eps).sqrt()
    bias = torch.zeros_like(mean) if conv.bias is None else conv.bias.double()
    folded = like_conv(conv, conv.in_channels, conv.out_channels, bias=True)
    folded.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    cast(Tensor, folded.bias).copy_(norm.bias.double() + (bias - mean) * scale)
    return folded


@torch.no_grad()
def merge_compactor(conv: nn.Conv2d, rows: Tensor) -> nn.Conv2d:
    """W'' = K·W over output channels, b'' = K·b, for compactor rows K (C'×C)."""
    merged = like_conv(conv, conv.in_channels, rows.shape[0], bias=True)
    wide = rows.double()
    merged.weight.copy_(torch.einsum("oc,cihw->oihw", wide, conv.weight.double()))
    cast(Tensor, merged.bias).copy_(wide @ cast(Tensor, conv.bias).double())
    return merged


def merge_site(network: nn.Module, site: Site) -> None:
    """Fold norm and compactor of a site into its convolution, in place. The output stays what it was."""
    compacted = cast(CompactedNorm, network.get_submodule(site.norm))
    conv = cast(nn.Conv2d, network.get_submodule(site.conv))
    rows = compacted.compactor.weight.flatten(1)
    network.set_submodule(site.conv, merge_compactor(fold_norm(conv, cast(nn.BatchNorm2d, compacted.norm)), rows))
    network.set_submodule(site.norm, nn.Identity())


def surviving_rows(norms: Tensor, threshold: float) -> Tensor:
    """Indices of rows whose norm is at least `threshold`; of the largest one, if none is."""
    kept = (norms >= threshold).nonzero().flatten()
    return kept if len(kept) else norms.argmax().reshape(1)


@torch.no_grad()
def prune_site(network: nn.Module, site: Site, kept: Tensor) -> None:
    """Keep the given output channels of a merged site, and the matching input channels of its reader, in place."""
    conv, reader = (cast(nn.Conv2d, network.get_submodule(name)) for name in (site.conv, site.reader))
    set_width(network, site, len(kept))
    small, small_reader = (cast(nn.Conv2d, network.get_submodule(name)) for name in (site.conv, site.reader))
    small.weight.copy_(conv.weight[kept])
    cast(Tensor, small.bias).copy_(cast(Tensor, conv.bias)[kept])
    small_reader.weight.copy_(reader.weight[:, kept])
    if reader.bias is not None:
        cast(Tensor, small_reader.bias).copy_(reader.bias)
