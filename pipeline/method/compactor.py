"""The distillation guided compactor: a square linear map of channels that starts as the identity and loses rows.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023,
section 3.2. Each row is one output channel; a row that has become zero is a channel that can be removed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.layers import norm_output, split_norm
from pipeline.networks.sites import Site

DEAD = 1e-5  # row norm below which the paper removes a row


def _along(values: Tensor, behind: int) -> Tensor:
    """C values as C×1×…, with trailing axes."""
    return values.view(-1, *[1] * (behind - 1))


class Rows(nn.Module):
    """Parameters that lose channels in training: the first axis of `weight` is that of output channels."""

    weight: nn.Parameter

    def row_norms(self) -> Tensor:
        """L2 norm of each output row over its input channels, C."""
        norms: Tensor = torch.linalg.vector_norm(self.weight.view(len(self.weight), -1), dim=1)
        return norms

    def lasso(self) -> Tensor:
        """Sum of the row norms."""
        return self.row_norms().sum()

    @torch.no_grad()
    def alive(self) -> Tensor:
        """1 for each row that is not dead, otherwise 0."""
        norms = self.row_norms()
        return (norms >= DEAD).to(norms.dtype)

    @torch.no_grad()
    def scale_rows(self, factors: Tensor) -> None:
        """Multiply each row by its own factor, C."""
        factors = factors.to(self.weight.device, self.weight.dtype, non_blocking=True)
        self.weight.mul_(_along(factors, self.weight.ndim))

    @torch.no_grad()
    def take_rows(self, other: Rows, which: Tensor) -> None:
        """Copy some rows, C booleans, from another of the same size."""
        self.weight.copy_(torch.where(_along(which, self.weight.ndim), other.weight, self.weight))

    @torch.no_grad()
    def reset_gradient(self, mask: Tensor, sparsity: float) -> None:
        """Replace the task gradient G by  mask ⊙ G + λ · K_row / ‖K_row‖  (method: phase "compress").

        Args:
            mask: C, 0 if retrieval does not need the row, otherwise 1.
            sparsity: λ.
        """
        axes = self.weight.ndim
        task = self.weight.grad
        gradient = torch.zeros_like(self.weight) if task is None else task * _along(mask, axes)
        # A row may be exactly zero: then its direction is zero, too.
        norms = self.row_norms().clamp_min(torch.finfo(self.weight.dtype).tiny)
        gradient += sparsity * self.weight / _along(norms, axes)
        self.weight.grad = gradient

    @torch.no_grad()
    def shrink_rows(self, step: float, spare: bool = False) -> None:
        """Proximal step of the group lasso: row := row · max(0, 1 − step/‖row‖), where step = lr · λ.

        Rows shorter than `step` become exactly zero (Parikh and Boyd 2014, "Proximal algorithms", section 6.5.4), or
        are unchanged with `spare`.
        """
        norms = self.row_norms().clamp_min(torch.finfo(self.weight.dtype).tiny)
        factors = (1 - step / norms).clamp_min(0)
        self.scale_rows(torch.where(factors > 0, factors, 1.0) if spare else factors)


class Compactor(Rows):
    """Linear map C → C of channels without bias, identity at the start; `weight` is C × C/groups.

    Args:
        linear: channels are on the last axis, not the second.
        groups: those of the convolution before it, into which it can then be merged.
    """

    def __init__(self, channels: int, *, linear: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.linear, self.groups = linear, groups
        self.weight = nn.Parameter(torch.eye(channels // groups).repeat(groups, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.linear:
            return functional.linear(x, self.weight)
        return functional.conv2d(x, self.weight[:, :, None, None], groups=self.groups)


class Gate(Rows):
    """A factor per channel, initially one, shared by all writers of a residual stream; `weight` is C.

    A compactor would mix the stream's channels differently from the shortcuts; a factor does not, and merges exactly
    into the norm or weight of each writer. Its rows have one entry, so their norms are absolute values.
    """

    def __init__(self, channels: int, *, linear: bool = False) -> None:
        super().__init__()
        self.linear = linear
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.weight if self.linear else self.weight[:, None, None])


class Compacted(nn.Module):
    """A norm (or a linear map without one), then a compactor or gate, then the activation; replaces the norm's module.

    Args:
        shared: the gate belongs to another writer of the same channels, and is not part of this module's state.
    """

    def __init__(self, inner: nn.Module, rows: Rows, activation: nn.Module, *, shared: bool = False) -> None:
        super().__init__()
        self.inner, self.activation = inner, activation
        if not shared:
            self.compactor = rows
        self._rows = (rows,)  # in a tuple: not registered

    @property
    def rows(self) -> Rows:
        """The compactor or gate."""
        return self._rows[0]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.rows(self.inner(x)))
        return out


class Gated(nn.Module):
    """A layer after a compactor that would change dead channels: it keeps them at zero."""

    def __init__(self, inner: nn.Module, rows: Rows) -> None:
        super().__init__()
        self.inner = inner
        self._rows = (rows,)  # in a tuple: it belongs to its own site

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out * _along(self._rows[0].alive().to(out.dtype), out.ndim - 1)


def _insert(network: nn.Module, site: Site, rows: Rows) -> None:
    rows.to(next(network.get_submodule(site.writer).parameters()).device)
    for number, writer in enumerate(site.writers):
        inner, activation = split_norm(network.get_submodule(writer.place))
        network.set_submodule(writer.place, Compacted(inner, rows, activation, shared=number > 0))
    gate_leaks(network, site, rows)


def inner_norm(module: nn.Module) -> nn.Module:
    """The module whose output is the norm's at a place, with or without a compactor after it."""
    return module.inner if isinstance(module, Compacted) else norm_output(module)


def gate_leaks(network: nn.Module, site: Site, rows: Rows) -> None:
    """Keep dead channels at zero after layers that would change them, in place."""
    for name in site.leaks:
        network.set_submodule(name, Gated(network.get_submodule(name), rows))


def insert_gates(network: nn.Module, sites: Iterable[Site]) -> dict[str, Gate]:
    """Insert a gate at every site, in place; returned by the site's writer. The network's output is unchanged."""
    gates = {site.writer: Gate(site.channels, linear=site.linear) for site in sites}
    for site in sites:
        _insert(network, site, gates[site.writer])
    return gates


def insert_compactors(network: nn.Module, sites: Iterable[Site]) -> dict[str, Rows]:
    """Insert a compactor at every site, or a gate if several layers write the channels, in place.

    The network's output is unchanged. Returned by the site's writer.
    """
    inserted: dict[str, Rows] = {}
    for site in sites:
        rows: Rows = (
            Gate(site.channels, linear=site.linear)
            if site.coupled
            else Compactor(site.channels, linear=site.linear, groups=site.groups)
        )
        _insert(network, site, rows)
        inserted[site.writer] = rows
    return inserted


def sparsity_loss(compactors: Iterable[Rows]) -> Tensor:
    """Group lasso: sum over sites of the sum of row norms (unweighted)."""
    return torch.stack([compactor.lasso() for compactor in compactors]).sum()
