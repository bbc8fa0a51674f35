"""Changing the number of channels at a site."""

from __future__ import annotations

from typing import cast

from torch import nn

from pipeline.networks.sites import Site


def like_conv(conv: nn.Conv2d, inputs: int, outputs: int, bias: bool) -> nn.Conv2d:
    """An ungrouped convolution like another, with other widths and fresh weights."""
    return nn.Conv2d(
        inputs,
        outputs,
        cast("tuple[int, int]", conv.kernel_size),
        stride=cast("tuple[int, int]", conv.stride),
        padding=cast("tuple[int, int]", conv.padding),
        dilation=cast("tuple[int, int]", conv.dilation),
        padding_mode=conv.padding_mode,
        bias=bias,
    )


def set_width(network: nn.Module, site: Site, width: int) -> None:
    """Give a site `width` channels and no norm, in place, with weights that mean nothing yet."""
    conv, reader = (cast(nn.Conv2d, network.get_submodule(name)) for name in (site.conv, site.reader))
    network.set_submodule(site.conv, like_conv(conv, conv.in_channels, width, bias=True))
    network.set_submodule(site.norm, nn.Identity())
    network.set_submodule(site.reader, like_conv(reader, width, reader.out_channels, bias=reader.bias is not None))
