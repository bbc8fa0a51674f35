"""Where compactors go: sites, found from the structure of residual blocks.

A site is a convolution, the norm behind it, and the one layer that reads it through an element-wise activation. In a
bottleneck these are the 3×3 (the paper's choice) and, with `sites: all`, the first 1×1; in a basic block the first 3×3.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType
from typing import Literal

from torch import nn

from pipeline.errors import PipelineError

Which = Literal["spatial", "all"]


@dataclass(frozen=True)
class Site:
    """Module names of the convolution, the norm behind it, and the convolution that reads the result."""

    conv: str
    norm: str
    reader: str
    channels: int


_PAIRS = (("conv1", "bn1", "conv2"), ("conv2", "bn2", "conv3"))


def find_sites(network: nn.Module, which: Which = "spatial") -> list[Site]:
    """Sites of `network` in the order of its modules.

    Raises:
        PipelineError: there are none; the message lists what was looked for.
    """
    sites = []
    for name, block in network.named_modules():
        if not hasattr(block, "downsample"):  # a residual block of timm's ResNets; the stem has no shortcut
            continue
        if not isinstance(getattr(block, "aa", None), nn.Identity | NoneType):  # a blur between the site and its reader
            continue
        for conv_name, norm_name, reader_name in _PAIRS:
            conv, reader = getattr(block, conv_name, None), getattr(block, reader_name, None)
            if not isinstance(conv, nn.Conv2d) or not isinstance(reader, nn.Conv2d):
                continue
            if not isinstance(getattr(block, norm_name, None), nn.BatchNorm2d):
                continue
            if conv.groups != 1 or reader.groups != 1:
                continue
            if which == "all" or max(conv.kernel_size) > 1:
                sites.append(
                    Site(f"{name}.{conv_name}", f"{name}.{norm_name}", f"{name}.{reader_name}", conv.out_channels)
                )
    if not sites:
        raise PipelineError(
            "no site for a compactor: looked in residual blocks for conv1 → bn1 → conv2 and conv2 → bn2 → conv3 "
            f"with ungrouped convolutions (sites: {which}). Use a ResNet with basic or bottleneck blocks."
        )
    return sites
