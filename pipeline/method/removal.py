"""Removes channels from a network during training: norms are kept, nothing is merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import Layer, keep_inputs, keep_outputs
from pipeline.networks.sites import Site


def _norms_behind(network: nn.Module, sites: Sequence[Site]) -> dict[str, nn.Module]:
    """By linear map, the norm after it, including the embedding head's."""
    named = {writer.layer: writer.norm for site in sites for writer in site.writers if writer.norm}
    if isinstance(network, Embedder):
        named["head.2"] = "head.3"
    return {name: network.get_submodule(norm) for name, norm in named.items()}


def _rescale(layer: nn.Module, norm: nn.Module, factor: Tensor) -> None:
    """Scale a layer's output and the statistics of its norm: the norm's output is unchanged."""
    for values, power in ((layer.weight, 1), (layer.bias, 1), (norm.running_mean, 1), (norm.running_var, 2)):
        if isinstance(values, Tensor):
            values.mul_(factor**power)


@torch.no_grad()
def remove_channels(
    network: nn.Module, sites: Sequence[Site], kept: Mapping[str, Tensor], maps: Mapping[str, Tensor] | None = None
) -> None:
    """Keep only some channels of each site, in place, in all layers that they pass through.

    Args:
        kept: by the site's writer, indices to keep, ascending.
        maps: by reader, C×K: its C inputs as a linear map of the K kept ones (see `pipeline.method.reconstruction`);
            the reader's weight is multiplied by it, which approximates the removed inputs. If a norm follows, the
            reader's weights keep the size that they would have without the map, since larger weights train more slowly
            before a norm (van Laarhoven 2017, arXiv 1706.05350).
    """
    behind = _norms_behind(network, sites)
    for site in sites:
        rows = kept[site.writer]
        if len(rows) == site.channels:
            continue
        norms = (writer.norm for writer in site.writers if writer.norm)
        for name in (*(writer.layer for writer in site.writers), *norms, *site.carriers, *site.factors):
            keep_outputs(cast(Layer, network.get_submodule(name)), rows)
        for name in site.readers:
            reader = cast("nn.Conv2d | nn.Linear", network.get_submodule(name))
            weight = reader.weight.detach()
            keep_inputs(reader, rows)
            if maps and name in maps:
                size = reader.weight.norm()
                reader.weight.copy_(torch.einsum("oc...,ck->ok...", weight, maps[name].to(weight)))
                if name in behind:
                    _rescale(reader, behind[name], size / reader.weight.norm().clamp_min(1e-12))
