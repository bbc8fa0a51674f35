"""Operations across processes, so that training on parts of a batch equals training on the whole batch.

Losses are means over equal parts of the batch, and torch's DistributedDataParallel averages gradients, which gives the
mean over the batch. Three things need the whole batch: the triplet loss and the feature bank compare its images with
each other, and batch norms compute its statistics.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


def alone() -> bool:
    """Whether this is the only process."""
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)


class _Sum(torch.autograd.Function):
    """Sum over processes, forward and backward: each process's gradient affects all inputs of the sum."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Any) -> Any:
        return _Sum.apply(gradients[0])


def summed(values: Tensor) -> Tensor:
    """Sum over processes, differentiable."""
    total: Tensor = _Sum.apply(values)
    return total


def gathered(rows: Tensor) -> Tensor:
    """Rows N×… of all processes, in process order, differentiable."""
    if alone():
        return rows
    before = [torch.zeros_like(rows)] * distributed.get_rank()
    behind = [torch.zeros_like(rows)] * (distributed.get_world_size() - 1 - distributed.get_rank())
    return summed(torch.cat([*before, rows, *behind]))


def averaged(values: Tensor) -> Tensor:
    """Mean over processes, without gradient."""
    if alone():
        return values
    values = values.clone()
    distributed.all_reduce(values)
    return values / distributed.get_world_size()


def _mean(values: Tensor) -> Tensor:
    return summed(values) / distributed.get_world_size()


def _normalised(norm: _BatchNorm, x: Tensor) -> Tensor:
    dims = [0, *range(2, x.ndim)]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    values = x.float()
    mean = _mean(values.mean(dims))
    centred = values - mean.view(shape)
    variance = _mean(centred.square().mean(dims))
    with torch.no_grad():
        count = values.numel() // values.shape[1] * distributed.get_world_size()
        momentum = cast(float, norm.momentum)
        cast(Tensor, norm.running_mean).lerp_(mean, momentum)
        cast(Tensor, norm.running_var).lerp_(variance * (count / (count - 1)), momentum)
        cast(Tensor, norm.num_batches_tracked).add_(1)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return (centred * scale.view(shape) + norm.bias.view(shape)).to(x.dtype)


def normalise_together(network: nn.Module) -> None:
    """Let batch norms compute statistics over the batches of all processes, in place, while training.

    Torch's SyncBatchNorm does not run on a CPU, waits for the device in every layer, and replaces modules, which drops
    their hooks.
    """

    def replace(norm: _BatchNorm) -> None:
        own = norm.forward

        def forward(x: Tensor) -> Tensor:
            if not norm.training:
                return own(x)
            out = _normalised(norm, x)
            # timm fuses norm and activation
            return cast(nn.Module, norm.act)(cast(nn.Module, norm.drop)(out)) if hasattr(norm, "act") else out

        norm.forward = forward  # type: ignore[assignment, method-assign]

    for module in network.modules():
        if isinstance(module, _BatchNorm):
            replace(module)
