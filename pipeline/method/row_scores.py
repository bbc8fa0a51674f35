"""Importance of compactor rows during training, for budgets that do not simply remove the shortest rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.method.allocation import comparable
from pipeline.method.compactor import Rows
from pipeline.method.settings import Allocation
from pipeline.networks.sites import Site


class RowScores(nn.Module):
    """Sums over steps, by site. All of it is state: saved and resumed with the student."""

    def __init__(self, sites: Sequence[Site], allocation: Allocation) -> None:
        super().__init__()
        self._sites, self.allocation = sites, allocation
        for number, site in enumerate(sites):
            self.register_buffer(f"site{number}", torch.zeros(site.channels))

    def _totals(self) -> dict[str, Tensor]:
        return {site.writer: self.get_buffer(f"site{number}") for number, site in enumerate(self._sites)}

    @torch.no_grad()
    def add_gradients(self, rows: Mapping[str, Rows]) -> None:
        """Taylor: the square of Σ weight·gradient per row, for the task's gradient."""
        for name, total in self._totals().items():
            gradient = rows[name].weight.grad
            if gradient is not None:
                total += (rows[name].weight * gradient).view(len(total), -1).sum(1).square()

    @torch.no_grad()
    def add(self, scores: Mapping[str, Tensor]) -> None:
        """Add the scores of one step, by site."""
        for name, total in self._totals().items():
            total += scores[name]

    def ranking(self) -> Tensor:
        """Scores of all rows on a common scale, site after site, on the host."""
        totals = {name: total.cpu() for name, total in self._totals().items()}
        found = totals if self.allocation == "raw" else comparable(totals, self._sites, self.allocation)
        return torch.cat([found[site.writer] for site in self._sites])
