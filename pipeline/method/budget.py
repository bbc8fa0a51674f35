"""A budget for the network, and the penalty factor that meets it.

The paper removes what falls below a threshold. A budget for the cost is an extension of this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.errors import BudgetError
from pipeline.method.compactor import DEAD, Rows
from pipeline.method.compress import Compress
from pipeline.method.cost_model import CostModel, WidthCost
from pipeline.method.merge import kept_count, kept_rows
from pipeline.method.settings import Distillation
from pipeline.networks.site import Site

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

GROWTH = 1.05  # of the penalty factor, at each step at which the cost exceeds its schedule
TOLERANCE = 0.02  # of the requested share, below it
MET_AT, CUT_AT = 0.5, 0.75  # shares of the phase: when the cost meets the budget, and when the remainder is cut


class Budget(nn.Module):
    """Removes rows until the network meets the budget, then lets the others recover.

    While the cost exceeds a linear schedule from the dense network's to the budget, the penalty factor grows from step
    to step; below it, it is zero. Of the rows that the penalty has brought to zero, the smallest are removed, as many
    as the schedule requires: rows start equally long and would all vanish at once. Removed rows stay zero. All of it is
    state.

    Decisions are made on the host, which waits for the device only for the row norms.

    Args:
        align: channels of a site stay a multiple of this.
        coupling: whether the method can remove channels of residual streams, too.

    Raises:
        BudgetError: the budget can't be met.
    """

    def __init__(self, model: WidthCost, compress: Compress, align: int, coupling: bool = True) -> None:
        super().__init__()
        self.model, self.target, self.align = model, compress.share(model.dense), align
        self._sizes = [site.channels for site in model.sites.values()]
        self.alive = torch.ones(sum(self._sizes), dtype=torch.bool)
        self.site_of = torch.arange(len(self._sizes)).repeat_interleave(torch.tensor(self._sizes))
        self.growth, self.behind, self.met = 1.0, True, False
        least = self.share(torch.zeros_like(self.alive))
        if least > self.target:
            coupling = coupling and not any(site.coupled for site in model.sites.values())
            raise BudgetError(compress.refused(least, model.dense, "every removable channel removed", coupling))

    def get_extra_state(self) -> Tensor:
        return torch.cat([torch.tensor([self.growth, self.behind, self.met], dtype=torch.float64), self.alive])

    def set_extra_state(self, state: Tensor) -> None:
        self.growth, self.behind, self.met = float(state[0]), bool(state[1]), bool(state[2])
        self.alive = state[3:].bool()

    @property
    def penalty_factor(self) -> float:
        """Factor on λ at the current step."""
        return self.growth if self.behind and not self.met else 0.0

    def by_site(self, rows: Tensor) -> dict[str, Tensor]:
        """Values of all rows, split by site."""
        return dict(zip(self.model.sites, torch.split(rows, self._sizes), strict=True))

    def share(self, alive: Tensor) -> float:
        """Cost with these living rows, as a share of the dense network's."""
        sites = self.model.sites
        largest = [rows.view(sites[name].chunks, -1).sum(1).max() for name, rows in self.by_site(alive).items()]
        counts = torch.stack(largest).tolist()
        kept = {
            name: kept_count(count, site.channels, site.chunks, self.align, 0 if site.branch else 1)
            for (name, site), count in zip(sites.items(), counts, strict=True)
        }
        return self.model(kept) / self.model.dense

    def scheduled_share(self, progress: float) -> float:
        """Scheduled share at a point of the phase (0 … 1)."""
        return 1 - (1 - self.target) * min(1.0, progress / MET_AT)

    def without(self, rows: Tensor) -> Tensor:
        """Living rows except some."""
        alive = self.alive.clone()
        alive[rows] = False
        return alive

    def fewest(self, norms: Tensor, share: float, among: Tensor) -> Tensor:
        """The smallest rows whose removal brings the cost to `share`; all that may be removed, if that is not enough.

        The last row of a site removes a whole branch, and with alignment several channels are removed at once. If that
        would leave much less than `share`, no more of that site's rows are removed, and others in their place.

        Args:
            norms: of all rows, site after site.
            among: booleans, which rows may be removed.
        """
        order = norms.masked_fill(~among, torch.inf).argsort()[: int(among.sum())]
        while True:
            low, high = 0, len(order)
            while low < high:
                middle = (low + high) // 2
                if self.share(self.without(order[:middle])) <= share:
                    high = middle
                else:
                    low = middle + 1
            if not low or self.share(self.without(order[:low])) >= (1 - TOLERANCE) * share:
                return order[:low]
            places = torch.arange(len(order))
            spared = order[(places < low - 1) | (self.site_of[order] != self.site_of[order[low - 1]])]
            if self.share(self.without(spared)) > share:
                return order[:low] if torch.equal(among, self.alive) else spared  # others may follow later
            order = spared

    def norms(self, compactors: Mapping[str, Rows]) -> Tensor:
        """Norms of all rows, site after site, on the host."""
        return torch.cat([compactors[name].row_norms() for name in self.model.sites]).cpu()

    @torch.no_grad()
    def on_course(self, compactors: Mapping[str, Rows], progress: float) -> Tensor:
        """Living rows except the shortest ones whose removal would bring the cost to its schedule (ResRep)."""
        norms = self.norms(compactors)
        return self.without(self.fewest(norms, self.scheduled_share(progress), self.alive))

    @torch.no_grad()
    def step(
        self,
        compactors: Mapping[str, Rows],
        shrinks: float,
        progress: float,
        proximal: bool,
        ranking: Tensor | None = None,
    ) -> None:
        """Remove rows after an optimiser step, and keep dead ones at zero.

        Args:
            shrinks: lr · λ · penalty factor, by which the penalty shortens a row.
            progress: completed share of the phase, 0 … 1.
            proximal: whether the penalty is applied here, not in the gradient.
            ranking: importance in place of the norms; then any row may be removed, short or not.
        """
        if not self.met:
            norms = self.norms(compactors)
            among = self.alive if ranking is not None else self.alive & (norms <= shrinks)
            aim = self.scheduled_share(progress)
            if progress >= CUT_AT:
                among, aim = self.alive, self.target
            self.alive = self.without(self.fewest(norms if ranking is None else ranking, aim, among))
            share = self.share(self.alive)
            self.met, self.behind = share <= self.target, share > self.scheduled_share(progress)
            if self.met:
                self._fill(norms)
            elif self.behind:
                self.growth *= GROWTH
            if proximal and not self.met:
                for compactor in compactors.values():
                    compactor.shrink_rows(shrinks, spare=True)
        for name, alive in self.by_site(self.alive).items():
            compactors[name].scale_rows(alive)

    def _fill(self, norms: Tensor) -> None:
        """Revive rows that alignment keeps anyway."""
        for (name, alive), lengths in zip(self.by_site(self.alive).items(), self.by_site(norms).values(), strict=True):
            site = self.model.sites[name]
            kept = kept_rows(lengths * alive, DEAD, site.chunks, self.align, 0 if site.branch else 1)
            alive[kept] = True  # a view of all rows


def make_budget(
    student: Embedder, sites: Sequence[Site], settings: Distillation, model: WidthCost | None = None
) -> Budget | None:
    """The budget of the settings.

    Args:
        model: cost model of the budget; default: of MACs or parameters.

    Raises:
        BudgetError: it can't be met.
    """
    if settings.compress is None:
        return None
    model = model or CostModel(student, sites, settings.compress.what)
    return Budget(model, settings.compress, settings.align, coupling=settings.method != "deap")
