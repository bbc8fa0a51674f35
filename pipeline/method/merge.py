"""Merging and pruning: a linear map, its norm and its compactor become one smaller linear map.

Xie et al., CVPR 2023, section 3.2; the same algebra as ResRep (Ding et al., ICCV 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from pipeline.method.compactor import Compacted, Compactor, Gate, Gated
from pipeline.networks.layers import Constant, Layer, keep_inputs, keep_outputs, resize
from pipeline.networks.sites import Site


class Kernel(NamedTuple):
    """Weight and bias of a linear map, in double precision, since merging is done once."""

    weight: Tensor
    bias: Tensor


def kernel_of(layer: nn.Module) -> Kernel:
    """Kernel of a convolution or linear layer, with a bias of zeros if it has none."""
    weight, bias = cast(Tensor, layer.weight).double(), cast("Tensor | None", layer.bias)
    return Kernel(weight, weight.new_zeros(len(weight)) if bias is None else bias.double())


def fold_norm(kernel: Kernel, norm: nn.BatchNorm2d) -> Kernel:
    """W' = W·γ/σ per output channel, b' = β + (b − μ)·γ/σ."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.double() / (variance + norm.eps).sqrt()
    weight = kernel.weight * scale.view(-1, *[1] * (kernel.weight.ndim - 1))
    return Kernel(weight, norm.bias.double() + (kernel.bias - mean) * scale)


def merge_compactor(kernel: Kernel, compactor: Compactor) -> Kernel:
    """W'' = K·W over output channels, b'' = K·b; per group if there are groups."""
    groups = compactor.groups
    rows, weight, bias = (
        some.double().view(groups, -1, *some.shape[1:]) for some in (compactor.weight, kernel.weight, kernel.bias)
    )
    merged = torch.einsum("goc,gc...->go...", rows, weight)
    return Kernel(merged.flatten(0, 1), torch.einsum("goc,gc->go", rows, bias).flatten())


def merge_gate(kernel: Kernel, gate: Gate) -> Kernel:
    """W'' = g ⊙ W over output channels, b'' = g ⊙ b."""
    factors = gate.weight.double()
    return Kernel(kernel.weight * factors.view(-1, *[1] * (kernel.weight.ndim - 1)), kernel.bias * factors)


@torch.no_grad()
def merge_site(network: nn.Module, site: Site) -> None:
    """Fold the norms and the compactor or gate of a site into its writers, in place. The output is unchanged."""
    for writer in site.writers:
        compacted = cast(Compacted, network.get_submodule(writer.place))
        layer = network.get_submodule(writer.layer) if writer.norm else compacted.inner
        kernel = kernel_of(layer)
        if writer.norm:
            kernel = fold_norm(kernel, cast(nn.BatchNorm2d, compacted.inner))
        rows = compacted.rows
        kernel = merge_gate(kernel, rows) if isinstance(rows, Gate) else merge_compactor(kernel, cast(Compactor, rows))
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        resize(cast(Layer, layer), tuple(kernel.weight.shape), True, groups)
        cast(Tensor, layer.weight).copy_(kernel.weight)
        cast(Tensor, layer.bias).copy_(kernel.bias)
        network.set_submodule(writer.place, compacted.activation if writer.norm else layer)


def kept_count(alive: int, channels: int, chunks: int, align: int, least: int) -> int:
    """Number of channels kept at a site whose fullest chunk has `alive`; see `kept_rows`."""
    size, count = channels // chunks, max(least, alive)
    while count < size and count * chunks % align:
        count += 1
    return count * chunks


def kept_rows(norms: Tensor, threshold: float, chunks: int = 1, align: int = 1, least: int = 0) -> Tensor:
    """Indices of the rows to keep, ascending: those with a norm of at least `threshold`.

    If `chunks` parts must keep equally many rows, at least `least` each, or the number of rows must be a multiple of
    `align`, the largest of the others are kept, too.
    """
    parts = norms.view(chunks, -1)
    size = parts.shape[1]
    count = kept_count(int((parts >= threshold).sum(1).max()), norms.numel(), chunks, align, least) // chunks
    first = torch.arange(chunks, device=norms.device)[:, None] * size
    kept: Tensor = parts.topk(count, dim=1).indices.sort(1).values + first
    return kept.flatten()


def _cut_gate(network: nn.Module, name: str, dead: Tensor) -> None:
    """Remove a gate: the layer's own parameters now produce the zeros that it enforced."""
    layer = cast(Gated, network.get_submodule(name)).inner
    with torch.no_grad():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight[dead] = 0
        cast(Tensor, layer.bias)[dead] = 0
    network.set_submodule(name, layer)


def prune_site(network: nn.Module, site: Site, kept: Tensor, alive: Tensor) -> None:
    """Keep some channels of a merged site in all its layers, in place.

    Args:
        kept: indices from `kept_rows`; at least one.
        alive: C booleans; a channel that is kept without being alive is zero.
    """
    for name in site.leaks:
        _cut_gate(network, name, ~alive)
    for name in (*(writer.layer for writer in site.writers), *site.carriers, *site.factors):
        keep_outputs(cast(Layer, network.get_submodule(name)), kept)
    for name in site.readers:
        keep_inputs(cast("nn.Conv2d | nn.Linear", network.get_submodule(name)), kept)


@torch.no_grad()
def drop_branch(network: nn.Module, site: Site) -> None:
    """Replace the reader of a site without living channels by its constant output, and remove the layers before it."""
    reader = site.readers[-1]
    layer = cast("nn.Conv2d | nn.Linear", network.get_submodule(reader))
    outputs = layer.weight.shape[0]
    constant = Constant(outputs, site.branch_map).to(layer.weight.device)
    if layer.bias is not None:
        constant.value.copy_(layer.bias)
    network.set_submodule(reader, constant)
    for name in site.branch:
        network.set_submodule(name, nn.Identity())


def prune_network(
    network: nn.Module, sites: Sequence[Site], norms: Mapping[str, Tensor], threshold: float, align: int = 1
) -> None:
    """Remove dead channels of all merged sites, in place, and branches without channels.

    Args:
        norms: row norms of each site's compactor, by its writer.
        threshold: rows with a smaller norm are dead. If all are and there is no branch to remove, the largest are kept.
        align: widths are multiples of this, as far as there are channels.
    """
    empty = []
    for site in sites:
        rows = norms[site.writer]
        kept = kept_rows(rows, threshold, site.chunks, align, least=0 if site.branch else 1)
        if len(kept):
            prune_site(network, site, kept, rows >= threshold)
        else:
            empty.append(site)
    for site in empty:
        drop_branch(network, site)
