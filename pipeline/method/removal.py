"""Removing channels from a network that is still being trained: norms stay norms, nothing is merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.networks.layers import Layer, keep_inputs, keep_outputs
from pipeline.networks.sites import Site


@torch.no_grad()
def remove_channels(
    network: nn.Module, sites: Sequence[Site], kept: Mapping[str, Tensor], maps: Mapping[str, Tensor] | None = None
) -> None:
    """Keep only some channels of each site, in place, in all layers that they go through.

    Args:
        kept: by the site's writer, indices that stay, ascending.
        maps: by reader, C×K: what its C inputs were as a linear map of the K that stay (see
            `pipeline.method.reconstruction`); the reader is multiplied by it, so that it goes on with its part of what
            is gone.
    """
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
                reader.weight.copy_(torch.einsum("oc...,ck->ok...", weight, maps[name].to(weight)))
