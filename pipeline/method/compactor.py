"""The distillation guided compactor: a square 1×1 convolution that starts as identity and loses rows.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023,
section 3.2. Each row is one output channel; a row that has become zero is a channel that can be removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from pipeline.networks.sites import Site


class Compactor(nn.Conv2d):
    """1×1 convolution C → C without bias, identity at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, kernel_size=1, bias=False)
        with torch.no_grad():
            self.weight.copy_(torch.eye(channels)[:, :, None, None])

    def row_norms(self) -> Tensor:
        """L2 norm of each output row over its input channels, C."""
        norms: Tensor = torch.linalg.vector_norm(self.weight.flatten(1), dim=1)
        return norms

    @torch.no_grad()
    def reset_gradient(self, mask: Tensor, sparsity: float) -> None:
        """Replace the task gradient G by  mask ⊙ G + λ · K_row / ‖K_row‖  (method: phase "compress").

        Args:
            mask: C, 0 where retrieval does not need the row, else 1.
            sparsity: λ.
        """
        rows = self.weight.flatten(1)
        gradient = torch.zeros_like(rows) if self.weight.grad is None else self.weight.grad.flatten(1) * mask[:, None]
        # A row may be exactly zero: its direction is then zero too.
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        gradient += sparsity * rows / norms.clamp_min(torch.finfo(rows.dtype).tiny)
        self.weight.grad = gradient.view_as(self.weight)

    @torch.no_grad()
    def shrink_rows(self, step: float) -> None:
        """Proximal step of the group lasso: row := row · max(0, 1 − step/‖row‖), where step = lr · λ.

        Rows shorter than `step` become exactly zero (Parikh and Boyd 2014, "Proximal algorithms", section 6.5.4).
        """
        norms = self.row_norms().clamp_min(torch.finfo(self.weight.dtype).tiny)
        self.weight.mul_((1 - step / norms).clamp_min(0)[:, None, None, None])


class CompactedNorm(nn.Module):
    """A norm with a compactor behind it, in the norm's place: before the activation."""

    def __init__(self, norm: nn.Module, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.compactor = Compactor(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.compactor(self.norm(x))
        return out


def insert_compactors(network: nn.Module, sites: Iterable[Site]) -> dict[str, CompactedNorm]:
    """Put a compactor behind the norm of every site, in place. The network computes what it computed before."""
    inserted = {}
    for site in sites:
        like = next(network.get_submodule(site.conv).parameters())
        compacted = CompactedNorm(network.get_submodule(site.norm), site.channels).to(like.device)
        network.set_submodule(site.norm, compacted)
        inserted[site.conv] = compacted
    return inserted


def sparsity_loss(compactors: Mapping[str, CompactedNorm]) -> Tensor:
    """Group lasso: sum over sites of the sum of row norms (unweighted)."""
    return torch.stack([module.compactor.row_norms().sum() for module in compactors.values()]).sum()
