"""The order of images and weights in memory while training."""

from __future__ import annotations

import torch
from torch import nn

BLOCK = 16  # most channels that oneDNN's kernels take at once: 8 with AVX2, 16 with AVX-512


def _overruns(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.groups == 1
        and layer.in_channels < BLOCK
    )


def memory_format_on(device: torch.device, network: nn.Module) -> torch.memory_format:
    """Channels last, which is faster, unless the network can't be trained so on a CPU.

    With channels last, the backward pass of a strided 1×1 convolution of few channels writes past its memory on x86
    (github.com/uxlfoundation/oneDNN/issues/6035): training crashes, never ends, or has wrong gradients. RepVGG and
    MobileOne start with one.
    """
    if device.type == "cpu" and any(map(_overruns, network.modules())):
        return torch.contiguous_format
    return torch.channels_last
