"""How much of a network may stay, and the pressure that meets it.

The paper removes what falls below a threshold. Asking for a share of the cost instead is an extension of this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.errors import BudgetError
from pipeline.method.compactor import DEAD, Rows
from pipeline.method.cost_model import CostModel, WidthCost
from pipeline.method.merge import kept_count, kept_rows
from pipeline.method.settings import Compress, Distillation
from pipeline.networks.sites import Site

if TYPE_CHECKING:
    from pipeline.networks.embedder import Embedder

GROWTH = 1.05  # of the pressure, at each step at which cost is behind its course
TOLERANCE = 0.02  # of the share that is asked for, below it
MET_AT, CUT_AT = 0.5, 0.75  # shares of the phase: by when cost has fallen, and when what is left over is cut


class Budget(nn.Module):
    """Lets rows die until no more of the network is left than asked for, then lets the others heal.

    While the cost is above a straight course from the dense network's to the budget, pressure grows from step to step;
    below it there is none. Of the rows that the penalty has brought to zero the smallest die, as many as the course
    asks for: rows start equally long and would all go at once. What has died stays zero. All of it is state.

    It is decided on the host, which waits for the device for the row norms alone.
    """

    def __init__(self, model: WidthCost, compress: Compress, align: int) -> None:
        super().__init__()
        self.model, self.target, self.align = model, compress.share(model.dense), align
        if model.least() > self.target:
            raise BudgetError(
                f"distill.compress.{compress.what} {compress.asked:g} can't be met: with all channels gone that can "
                f"go, {compress.told(model.least(), model.dense)}. Relax it, or set distill.sites: coupled."
            )
        self._sizes = [site.channels for site in model.sites.values()]
        self.alive = torch.ones(sum(self._sizes), dtype=torch.bool)
        self.site_of = torch.arange(len(self._sizes)).repeat_interleave(torch.tensor(self._sizes))
        self.growth, self.behind, self.met = 1.0, True, False

    def get_extra_state(self) -> Tensor:
        return torch.cat([torch.tensor([self.growth, self.behind, self.met], dtype=torch.float64), self.alive])

    def set_extra_state(self, state: Tensor) -> None:
        self.growth, self.behind, self.met = float(state[0]), bool(state[1]), bool(state[2])
        self.alive = state[3:].bool()

    @property
    def pressure(self) -> float:
        """Factor on λ at this moment."""
        return self.growth if self.behind and not self.met else 0.0

    def by_site(self, rows: Tensor) -> dict[str, Tensor]:
        """What is known of all rows, site by site."""
        return dict(zip(self.model.sites, torch.split(rows, self._sizes), strict=True))

    def share(self, alive: Tensor) -> float:
        """Cost of what these living rows leave, as a share of the dense network's."""
        sites = self.model.sites
        largest = [rows.view(sites[name].chunks, -1).sum(1).max() for name, rows in self.by_site(alive).items()]
        counts = torch.stack(largest).tolist()
        kept = {
            name: kept_count(count, site.channels, site.chunks, self.align, 0 if site.branch else 1)
            for (name, site), count in zip(sites.items(), counts, strict=True)
        }
        return self.model(kept) / self.model.dense

    def course(self, progress: float) -> float:
        """What may be left at a moment of the phase (0 … 1)."""
        return 1 - (1 - self.target) * min(1.0, progress / MET_AT)

    def without(self, rows: Tensor) -> Tensor:
        """Living rows but for some."""
        alive = self.alive.clone()
        alive[rows] = False
        return alive

    def fewest(self, norms: Tensor, share: float, among: Tensor) -> Tensor:
        """The smallest rows whose death brings the cost to `share`; all that may die, if that is not enough.

        With the last row of a site a whole branch goes, with alignment several channels at once. If that would leave
        much less than `share`, no more of that site's rows go, and others in their place.

        Args:
            norms: of all rows, site after site.
            among: booleans, which rows may die.
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
        """Living rows but for the shortest ones that would have to go for the cost to be on its course (ResRep)."""
        norms = self.norms(compactors)
        return self.without(self.fewest(norms, self.course(progress), self.alive))

    @torch.no_grad()
    def step(
        self,
        compactors: Mapping[str, Rows],
        shrinks: float,
        progress: float,
        proximal: bool,
        ranking: Tensor | None = None,
    ) -> None:
        """Behind an optimiser step: let rows die, and hold those that are dead.

        Args:
            shrinks: lr · λ · pressure, by which the penalty shortens a row.
            progress: how much of the phase is over, 0 … 1.
            proximal: the penalty acts here, not in the gradient.
            ranking: what counts instead of the norms of all rows; then any row may die, short or not.
        """
        if not self.met:
            norms = self.norms(compactors)
            among = self.alive if ranking is not None else self.alive & (norms <= shrinks)
            aim = self.course(progress)
            if progress >= CUT_AT:
                among, aim = self.alive, self.target
            self.alive = self.without(self.fewest(norms if ranking is None else ranking, aim, among))
            share = self.share(self.alive)
            self.met, self.behind = share <= self.target, share > self.course(progress)
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
        """Let rows live again that alignment keeps anyway."""
        for (name, alive), lengths in zip(self.by_site(self.alive).items(), self.by_site(norms).values(), strict=True):
            site = self.model.sites[name]
            kept = kept_rows(lengths * alive, DEAD, site.chunks, self.align, 0 if site.branch else 1)
            alive[kept] = True  # a view of all rows


def make_budget(
    student: Embedder, sites: Sequence[Site], settings: Distillation, model: WidthCost | None = None
) -> Budget | None:
    """The budget that the settings ask for.

    Args:
        model: of what it counts; left out, of MACs or parameters.

    Raises:
        BudgetError: it can't be met.
    """
    if settings.compress is None:
        return None
    model = model or CostModel(student, sites, settings.compress.what)
    return Budget(model, settings.compress, settings.align)
