"""The distillation guided compactor: a square linear map of channels that starts as identity and loses rows.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023,
section 3.2. Each row is one output channel; a row that has become zero is a channel that can be removed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.layers import split_norm
from pipeline.networks.sites import Site

DEAD = 1e-5  # row norm below which the paper removes a row


class Compactor(nn.Module):
    """Linear map C → C of channels without bias, identity at the start; `weight` is C × C/groups.

    Args:
        linear: channels are the last axis and not the second.
        groups: as those of the convolution before it, into which it can then be merged.
    """

    def __init__(self, channels: int, *, linear: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.linear, self.groups = linear, groups
        self.weight = nn.Parameter(torch.eye(channels // groups).repeat(groups, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.linear:
            return functional.linear(x, self.weight)
        return functional.conv2d(x, self.weight[:, :, None, None], groups=self.groups)

    def row_norms(self) -> Tensor:
        """L2 norm of each output row over its input channels, C."""
        norms: Tensor = torch.linalg.vector_norm(self.weight, dim=1)
        return norms

    @torch.no_grad()
    def alive(self) -> Tensor:
        """1 for each row that still counts, else 0."""
        return (self.row_norms() >= DEAD).to(self.weight.dtype)

    @torch.no_grad()
    def reset_gradient(self, mask: Tensor, sparsity: float) -> None:
        """Replace the task gradient G by  mask ⊙ G + λ · K_row / ‖K_row‖  (method: phase "compress").

        Args:
            mask: C, 0 where retrieval does not need the row, else 1.
            sparsity: λ.
        """
        gradient = torch.zeros_like(self.weight) if self.weight.grad is None else self.weight.grad * mask[:, None]
        # A row may be exactly zero: its direction is then zero too.
        gradient += sparsity * self.weight / self.row_norms().clamp_min(torch.finfo(self.weight.dtype).tiny)[:, None]
        self.weight.grad = gradient

    @torch.no_grad()
    def shrink_rows(self, step: float, spare: bool = False) -> None:
        """Proximal step of the group lasso: row := row · max(0, 1 − step/‖row‖), where step = lr · λ.

        Rows shorter than `step` become exactly zero (Parikh and Boyd 2014, "Proximal algorithms", section 6.5.4), or
        stay as they are with `spare`.
        """
        norms = self.row_norms().clamp_min(torch.finfo(self.weight.dtype).tiny)
        factors = (1 - step / norms).clamp_min(0)
        self.weight.mul_((torch.where(factors > 0, factors, 1.0) if spare else factors)[:, None])


class Compacted(nn.Module):
    """A norm (or a linear map without one) with a compactor behind it, before the activation, in the module's place."""

    def __init__(self, inner: nn.Module, compactor: Compactor, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.compactor, self.activation = inner, compactor, activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.compactor(self.inner(x)))
        return out


class Gated(nn.Module):
    """A layer that carries the channels of a compactor on, and would make something of dead ones: they stay zero."""

    def __init__(self, inner: nn.Module, compactor: Compactor) -> None:
        super().__init__()
        self.inner = inner
        self._compactor = (compactor,)  # in a tuple: it belongs to its own site

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out * self._compactor[0].alive().to(out.dtype)[:, None, None]


def insert_compactors(network: nn.Module, sites: Iterable[Site]) -> dict[str, Compacted]:
    """Put a compactor at every site, in place; by the site's writer. The network computes what it computed before."""
    inserted = {}
    for site in sites:
        inner, activation = split_norm(network.get_submodule(site.place))
        compactor = Compactor(site.channels, linear=site.linear, groups=site.groups)
        compactor.to(next(inner.parameters()).device)
        inserted[site.writer] = Compacted(inner, compactor, activation)
        network.set_submodule(site.place, inserted[site.writer])
        for name in site.leaks:
            network.set_submodule(name, Gated(network.get_submodule(name), compactor))
    return inserted


def sparsity_loss(compactors: Iterable[Compactor]) -> Tensor:
    """Group lasso: sum over sites of the sum of row norms (unweighted)."""
    return torch.stack([compactor.row_norms().sum() for compactor in compactors]).sum()
