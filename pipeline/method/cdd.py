"""The student's task: five losses, two phases, compactors, and gradients reset where retrieval needs no channel.

Xie et al., CVPR 2023, sections 3.2 (CDD) and 3.3 (RGGR).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.method.budget import make_budget
from pipeline.method.compactor import Rows, inner_norm, insert_compactors, sparsity_loss
from pipeline.method.cost_model import WidthCost
from pipeline.method.distillation import TaughtStudent, norm_places
from pipeline.method.rggr import GradientResetting
from pipeline.method.row_scores import RowScores
from pipeline.method.settings import Distillation
from pipeline.method.taps import Taps
from pipeline.networks.embedder import Embedder
from pipeline.networks.pairs import check_all_paired, pair_writers, teacher_sites
from pipeline.networks.site import Site
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified


class CapacityDynamicDistillation(TaughtStudent):
    """Trains `student`, into which compactors are inserted in place; `teacher` is unchanged and not part of the state.

    Phase *learn*: one backward pass of all five terms. Phase *compress*: backward of the task loss only; then each
    compactor's gradient is masked and the sparsity gradient λ·row/‖row‖ added to every row. With proximal sparsity the
    penalty is applied after each optimiser step instead, in both phases. With a budget it is applied only while more
    than the budget is left; after that, all living rows learn from the task again.

    Args:
        model: cost model of the budget; default: of MACs or parameters.

    Raises:
        PipelineError: the student has no sites, gradients are reset by retrieval and the teacher has other widths, or
            the budget can't be met.
    """

    def __init__(
        self, student: Classified, teacher: Classified, settings: Distillation, model: WidthCost | None = None
    ) -> None:
        sites = find_sites(student.embedder, settings.sites)
        others = teacher_sites(teacher.embedder, settings.sites)
        if settings.rggr.by == "retrieval":
            check_all_paired(sites, others, "distill.rggr.by: retrieval")
        pairs = pair_writers(sites, others).writers
        budget = make_budget(student.embedder, sites, settings, model)
        self._compactors = self.insert(student.embedder, sites)
        paths = {module: path for path, module in student.named_modules()}
        self._paths = {name: paths[rows] for name, rows in self._compactors.items()}  # relative to the student
        taught = norm_places(teacher.embedder, pairs)
        before = {
            writer.layer: (inner_norm(student.embedder.get_submodule(writer.place)), writer.linear)
            for site in sites
            for writer in site.writers
            if writer.layer in pairs
        }
        super().__init__(student, teacher, settings, taught, before)
        self.budget, self._sites = budget, sites
        channels = {site.writer: site.channels for site in sites}
        self.resetting = GradientResetting(channels, settings.rggr) if settings.rggr.by == "retrieval" else None
        # Nothing is hooked after a gate: a factor per channel and the mean over positions commute.
        tapped = [site for site in sites if self.resetting and not site.coupled]
        self._behind = Taps({s.writer: (self._compactors[s.writer], s.linear) for s in tapped})
        by_norm = settings.importance == "norm" and settings.allocation == "raw"
        self.scores = RowScores(sites, settings.allocation) if budget and not by_norm else None
        self._compressing, self._progress = False, 0.0  # whether in the phase *compress*, and the completed share of it

    def insert(self, student: Embedder, sites: Sequence[Site]) -> Mapping[str, Rows]:
        """Insert a compactor or gate at every site, in place; returned by the site's writer."""
        return insert_compactors(student, sites)

    def start_step(self, time: float) -> None:
        learn, epochs = self.settings.learn, self.settings.epochs
        self._compressing = time >= learn
        self._progress = max(0.0, (time - learn) / (epochs - learn))

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        settings, losses = self.settings, super().forward(images, labels)
        sparsity = settings.sparsity_weight * sparsity_loss(self._compactors.values())
        if self._compressing:
            if self.resetting and not (self.budget and self.budget.met):
                found = self.resetting.update(self._stream(self._taught.features), self._student_features())
                if self.scores and settings.importance == "retrieval":
                    self.scores.add(found)
        elif settings.sparsity == "subgradient":
            losses["loss"] = losses["loss"] + sparsity
        return {**losses, "sparsity": sparsity.detach()}

    def _stream(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By site, the sum of its writers' features, which is that of a residual stream."""
        return {
            site.writer: torch.stack([features[writer.layer] for writer in site.writers]).sum(0) for site in self._sites
        }

    def _student_features(self) -> dict[str, Tensor]:
        """By site, the student's pooled features after its compactor or gate."""
        before = self._stream(self._learnt.features)
        gated = {s.writer: before[s.writer] * self._compactors[s.writer].weight for s in self._sites if s.coupled}
        return {**self._behind.features, **gated}

    def _masks(self) -> Mapping[str, Tensor]:
        """By site: 1 for rows that learn from the task, otherwise 0."""
        if self.budget and (self.budget.met or not self.resetting):
            rows = self.budget.alive
            if self.settings.rggr.by == "norm" and not self.budget.met:
                rows = self.budget.on_course(self._compactors, self._progress)
            device = self.student.classifier.weight.device
            return {
                name: some.float().to(device, non_blocking=True) for name, some in self.budget.by_site(rows).items()
            }
        if self.resetting:
            return {name: self.resetting.mask(name) for name in self._compactors}
        return {name: torch.ones_like(rows.row_norms()) for name, rows in self._compactors.items()}

    @property
    def _penalty(self) -> float:
        """λ at the current step."""
        factor = self.budget.penalty_factor if self.budget and self._compressing else 1.0
        return self.settings.sparsity_weight * factor

    def adjust_gradients(self) -> None:
        if self._compressing:
            if self.scores and self.settings.importance == "taylor":
                self.scores.add_gradients(self._compactors)
            elif self.scores and self.settings.importance == "norm":
                self.scores.add({name: rows.row_norms() for name, rows in self._compactors.items()})
            penalty = self._penalty if self.settings.sparsity == "subgradient" else 0.0
            for name, mask in self._masks().items():
                self._compactors[name].reset_gradient(mask, penalty)

    def after_step(self, lr: float) -> None:
        proximal = self.settings.sparsity == "proximal"
        shrinks = lr * self._penalty
        if self.budget and self._compressing:
            ranking = self.scores.ranking() if self.scores and not self.budget.met else None
            self.budget.step(self._compactors, shrinks, self._progress, proximal, ranking)
        elif proximal:
            for compactor in self._compactors.values():
                compactor.shrink_rows(shrinks)

    @torch.no_grad()
    def after_average(self, average: nn.Module) -> None:
        """Set the average of dead rows to the student's, since the average still contains living ones."""
        for name, rows in self._compactors.items():
            averaged = cast(Rows, average.get_submodule(self._paths[name]))
            averaged.take_rows(rows, rows.alive() == 0)

    @torch.no_grad()
    def figures(self) -> dict[str, float]:
        """Shares of rows: `masked` do not learn from the task, `dead` are shorter than 1e-5; and the remaining cost."""
        alive = torch.cat([compactor.alive() for compactor in self._compactors.values()])
        masks = torch.cat([*self._masks().values()])
        figures = {"masked": 1 - masks.mean().item(), "dead": 1 - alive.mean().item()}
        return figures | ({"left": self.budget.share(alive.bool().cpu())} if self.budget else {})
