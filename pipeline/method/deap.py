"""DEAP: pruners on both sides of a k×k convolution, with a group lasso on columns before it and on rows after it.

Xie, Wu, Zhu and Zeng, "Distillation embedded absorbable pruning for fast object re-identification", Pattern Recognition
152 (2024), 110437, and the authors' code: a 1×1 convolution that starts as the identity precedes the k×k convolution,
another follows its norm, and all losses apply from the first step. A zero column is a channel that the k×k convolution
does not read, so that the layer before it need not write it; a zero row is one that it does not write. Phases, masks
and a feature memory do not exist. DEAP's own distillation loss is not implemented either: see docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import PipelineError
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.compactor import Compacted, Compactor, Rows, gate_leaks, insert_compactors
from pipeline.method.cost_model import WidthCost
from pipeline.method.settings import Distillation, Resetting
from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import split_norm
from pipeline.networks.sites import Site
from pipeline.training.supervised import Classified


class InputPruner(Rows):
    """Linear map C → C of a convolution's input, identity at the start; `weight` is C × C/groups.

    A row of `weight` is a *column* of the map: the coefficients of one input channel.

    Args:
        groups: those of the convolution after it, into which it can then be merged.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.eye(channels // groups).repeat(groups, 1))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.view(self.groups, -1, self.weight.shape[1]).transpose(1, 2)
        return functional.conv2d(x, kernel.flatten(0, 1)[:, :, None, None], groups=self.groups)


class BothSides(Rows):
    """The two pruners of channels between two k×k convolutions: a channel lives while it does in both.

    `behind` is called in its place; `before` is called by the `Preceded` convolution that reads the channels.
    """

    def __init__(self, behind: Compactor, before: InputPruner) -> None:
        super().__init__()
        self.behind, self.before = behind, before

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.behind(x)
        return out

    def row_norms(self) -> Tensor:
        return torch.minimum(self.behind.row_norms(), self.before.row_norms())

    def lasso(self) -> Tensor:
        return self.behind.lasso() + self.before.lasso()

    def scale_rows(self, factors: Tensor) -> None:
        self.behind.scale_rows(factors)
        self.before.scale_rows(factors)

    def take_rows(self, other: Rows, which: Tensor) -> None:
        assert isinstance(other, BothSides)
        self.behind.take_rows(other.behind, which)
        self.before.take_rows(other.before, which)

    def reset_gradient(self, mask: Tensor, sparsity: float) -> None:
        self.behind.reset_gradient(mask, sparsity)
        self.before.reset_gradient(mask, sparsity)

    def shrink_rows(self, step: float, spare: bool = False) -> None:
        self.behind.shrink_rows(step, spare)
        self.before.shrink_rows(step, spare)


class Preceded(nn.Module):
    """A convolution with a pruner before it; replaces the convolution.

    Args:
        shared: the pruner is part of a `BothSides`, and not part of this module's state.
    """

    def __init__(self, pruner: InputPruner, inner: nn.Module, *, shared: bool) -> None:
        super().__init__()
        self.inner = inner
        if not shared:
            self.pruner = pruner
        self._pruner = (pruner,)  # in a tuple: not registered

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(self._pruner[0](x))
        return out


def _kxk_reader(network: nn.Module, site: Site) -> nn.Conv2d | None:
    """The k×k convolution that is the only reader of a site's channels; None if there are others, or k is 1."""
    if site.coupled or len(site.readers) != 1:
        return None
    reader = network.get_submodule(site.readers[0])
    return reader if isinstance(reader, nn.Conv2d) and max(reader.kernel_size) > 1 else None


def check_places(network: nn.Module, sites: Sequence[Site]) -> None:
    """Check that at least one pruner would precede a convolution.

    Raises:
        PipelineError: none would, and DEAP would reduce to compactors.
    """
    if not any(_kxk_reader(network, site) for site in sites):
        raise PipelineError(
            "method: deap does not apply: no k×k convolution is the only reader of a site's channels. Set sites "
            "to all, which has 1×1 convolutions before larger ones, or method to cdd."
        )


def insert_pruners(network: nn.Module, sites: Sequence[Site]) -> dict[str, Rows]:
    """Insert pruners at every site, in place; returned by the site's writer. The network's output is unchanged.

    Channels that only a k×k convolution reads get one before it. Those not written by a 1×1 convolution get one after
    their writer, as in CDD; so do channels without any other pruner.
    """
    inserted: dict[str, Rows] = {}
    for site in sites:
        reader = _kxk_reader(network, site)
        if reader is None:
            inserted |= insert_compactors(network, [site])
            continue
        before = InputPruner(site.channels, reader.groups)
        if site.spatial:
            behind = Compactor(site.channels, linear=site.linear, groups=site.groups)
            rows: Rows = BothSides(behind, before)
            inner, activation = split_norm(network.get_submodule(site.place))
            network.set_submodule(site.place, Compacted(inner, rows, activation))
        else:
            rows = before
        rows.to(reader.weight.device)
        gate_leaks(network, site, rows)
        place = network.get_submodule(site.readers[0])
        network.set_submodule(site.readers[0], Preceded(before, place, shared=site.spatial))
        inserted[site.writer] = rows
    return inserted


def merge_before(kernel: Tensor, pruner: InputPruner) -> Tensor:
    """W' = W·P over input channels of a kernel O×C/groups×k×k, in double precision; per group."""
    groups = pruner.groups
    weight = kernel.double().view(groups, -1, *kernel.shape[1:])
    columns = pruner.weight.double().view(groups, -1, pruner.weight.shape[1])
    return torch.einsum("gom...,gim->goi...", weight, columns).flatten(0, 1)


@torch.no_grad()
def absorb_pruners(network: nn.Module, sites: Sequence[Site]) -> None:
    """Merge pruners before convolutions into them, in place; the rest is as after `insert_compactors`."""
    for site in sites:
        for name in site.readers:
            module = network.get_submodule(name)
            compacted = module if isinstance(module, Compacted) else None  # a writer without a norm
            preceded = module if compacted is None else compacted.inner
            if not isinstance(preceded, Preceded):
                continue
            weight = cast(Tensor, preceded.inner.weight)
            weight.copy_(merge_before(weight, preceded._pruner[0]))
            if compacted is None:
                network.set_submodule(name, preceded.inner)
            else:
                compacted.inner = preceded.inner
    for site in sites:
        for writer in site.writers:
            place = network.get_submodule(writer.place)
            if not isinstance(place, Compacted):
                inner, activation = split_norm(place)
                compactor = Compactor(site.channels, linear=site.linear, groups=site.groups)
                compactor.to(next(inner.parameters()).device)
            elif isinstance(place.rows, BothSides):
                inner, activation, compactor = place.inner, place.activation, place.rows.behind
            else:
                continue
            network.set_submodule(writer.place, Compacted(inner, compactor, activation))


class AbsorbablePruning(CapacityDynamicDistillation):
    """Trains `student`, into which pruners are inserted in place, with all losses and the group lasso at every step.

    Args:
        model: see `CapacityDynamicDistillation`.

    Raises:
        PipelineError: see there.
    """

    def __init__(
        self, student: Classified, teacher: Classified, settings: Distillation, model: WidthCost | None = None
    ) -> None:
        super().__init__(student, teacher, settings.model_copy(update={"rggr": Resetting(by="none")}), model)

    def insert(self, student: Embedder, sites: Sequence[Site]) -> Mapping[str, Rows]:
        return insert_pruners(student, sites)
