"""Students that are made small at one moment: what shrinking while learning is compared with.

They lose channels of the same sites as a compacted student, down to the same budget, and differ in which channels go.
Importance by L1 norm and the removal itself are Torch-Pruning's (https://github.com/VainF/Torch-Pruning).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch_pruning
from torch import Tensor, nn

from pipeline.errors import BudgetError
from pipeline.method.cost_model import CostModel, WidthCost
from pipeline.method.distillation import TaughtStudent, norm_places
from pipeline.method.merge import fold_norm, kept_rows, kernel_of
from pipeline.method.settings import Compress, Distillation, Method
from pipeline.networks.embedder import Embedder
from pipeline.networks.sites import Site, find_sites, pair_writers
from pipeline.training.supervised import Classified


class _Pruner:
    """Torch-Pruning on the sites of one network."""

    def __init__(self, network: Embedder) -> None:
        self.network = network.eval()
        example = torch.zeros(2, 3, network.size.height, network.size.width, device=next(network.parameters()).device)
        with torch.enable_grad(), warnings.catch_warnings():  # it reads the graph that autograd would go back
            warnings.simplefilter("ignore")  # of tokens and layer scales, which no site reaches
            self.graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=example)

    def group(self, site: Site, channels: list[int]) -> torch_pruning.dependency.Group:
        """All that goes with some channels of a site."""
        cut = torch_pruning.prune_linear_out_channels if site.linear else torch_pruning.prune_conv_out_channels
        return self.graph.get_pruning_group(self.network.get_submodule(site.writer), cut, idxs=channels)


def _ranks(values: Tensor) -> Tensor:
    """Place of each value among all, from the smallest, in 0 … 1."""
    return values.argsort().argsort() / len(values)


@torch.no_grad()
def importance(network: Embedder, sites: Sequence[Site], method: Method) -> dict[str, Tensor]:
    """What each channel of each site counts, by the site's writer; comparable across sites.

    `narrow`: earlier channels more, the same at each site. `uniform_l1`: by the rank of its filter's L1 norm within the
    site. `two_stage`: by the L2 norm of its row, norm folded in, as a share of the site's mean.
    """
    pruner = _Pruner(network)
    l1 = torch_pruning.importance.GroupMagnitudeImportance(p=1, group_reduction="first", normalizer=None)
    found = {}
    for site in sites:
        match method:
            case "narrow":
                size = site.channels // site.chunks
                found[site.writer] = 1 - (torch.arange(site.channels) % size) / size
            case "uniform_l1":
                found[site.writer] = _ranks(l1(pruner.group(site, [*range(site.channels)])))
            case _:
                kernel = kernel_of(network.get_submodule(site.writer))
                if site.norm:
                    kernel = fold_norm(kernel, cast(nn.BatchNorm2d, network.get_submodule(site.norm)))
                norms = kernel.weight.flatten(1).norm(dim=1)
                found[site.writer] = norms / norms.mean()
    return found


def most_important(
    model: WidthCost, scores: Mapping[str, Tensor], compress: Compress, align: int = 1
) -> dict[str, Tensor]:
    """Channels to keep at each site, ascending: those above the lowest bar that leaves at most what may be left.

    Raises:
        BudgetError: one channel at each site costs more.
    """

    def kept(bar: float) -> dict[str, Tensor]:
        return {name: kept_rows(scores[name], bar, site.chunks, align, least=1) for name, site in model.sites.items()}

    def cost(bar: float) -> float:
        return model({name: len(rows) for name, rows in kept(bar).items()}) / model.dense

    bars = [*sorted(set(torch.cat([*scores.values()]).tolist())), float("inf")]
    low, high, share = 0, len(bars) - 1, compress.share(model.dense)
    if cost(bars[high]) > share:
        raise BudgetError(
            f"distill.compress.{model.what} {compress.asked:g} can't be met without dropping whole branches, which "
            f"only method: cdd does: with one channel at each site {compress.told(cost(bars[high]), model.dense)}."
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(bars[middle]) <= share else (middle + 1, high)
    return kept(bars[low])


@torch.no_grad()
def remove_channels(network: Embedder, sites: Sequence[Site], kept: Mapping[str, Tensor]) -> None:
    """Keep only some channels of each site, in place, in all layers that they go through."""
    training, pruner = network.training, _Pruner(network)
    for site in sites:
        gone = sorted({*range(site.channels)} - set(kept[site.writer].tolist()))
        if gone:
            pruner.group(site, gone).prune()
    network.train(training)


def choose_channels(
    network: Embedder, sites: Sequence[Site], settings: Distillation, model: WidthCost | None = None
) -> dict[str, Tensor]:
    """Channels that a method keeps of each site of a dense student.

    Args:
        model: of what the budget counts; left out, of MACs or parameters.

    Raises:
        BudgetError: the budget can't be met.
    """
    assert settings.compress is not None
    model = model or CostModel(network, sites, settings.compress.what)
    scores = importance(network, sites, settings.method)
    return most_important(model, scores, settings.compress, settings.align)


class FixedStudent(TaughtStudent):
    """A student whose channels stay as they are while it trains: all of them, or those that a method keeps.

    Args:
        cut: remove the others, in place, before the first step.
        model: see `choose_channels`.

    Raises:
        PipelineError: the student has no sites, the teacher not the same widths, or the budget can't be met.
    """

    def __init__(
        self,
        student: Classified,
        teacher: Classified,
        settings: Distillation,
        *,
        cut: bool,
        model: WidthCost | None = None,
    ) -> None:
        sites = find_sites(student.embedder, settings.sites)
        pairs = pair_writers(sites, find_sites(teacher.embedder, settings.sites))
        kept = choose_channels(student.embedder, sites, settings, model) if cut else {}
        if cut:
            remove_channels(student.embedder, sites, kept)
        writers = {writer.layer: writer for site in sites for writer in site.writers}
        places = norm_places(student.embedder, writers)
        rows = {w.layer: kept[site.writer] for site in sites for w in site.writers if site.writer in kept}
        super().__init__(student, teacher, settings, norm_places(teacher.embedder, pairs), places, rows)
