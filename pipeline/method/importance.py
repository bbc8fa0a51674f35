"""Importance of channels: scores within a site. `pipeline.method.allocation` decides how many each site keeps.

Channels that are removed together are scored together: a residual stream's channel has the score of all its writers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import PipelineError
from pipeline.method.compactor import Gate, insert_gates
from pipeline.method.merge import fold_norm, kernel_of
from pipeline.method.settings import Resetting
from pipeline.method.taps import Taps
from pipeline.networks.embedder import Embedder
from pipeline.networks.layers import norm_output
from pipeline.networks.site import Site

ROOT = 0.25
Scores = Mapping[str, Tensor]  # by the site's writer, C non-negative values on the host


@torch.no_grad()
def norm_scores(network: nn.Module, sites: Sequence[Site], *, l1: bool = False) -> Scores:
    """Sum over a site's writers of the L2 norm of each filter, batch norm folded in.

    Args:
        l1: use the L1 norm of the filter alone (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017).
    """
    found = {}
    for site in sites:
        total = torch.zeros(site.channels, dtype=torch.float64)
        for writer in site.writers:
            kernel = kernel_of(network.get_submodule(writer.layer))
            if writer.norm and not l1:
                kernel = fold_norm(kernel, cast(nn.BatchNorm2d, network.get_submodule(writer.norm)))
            total += kernel.weight.flatten(1).norm(p=1 if l1 else 2, dim=1).cpu()
        found[site.writer] = total.float()
    return found


def position_scores(sites: Sequence[Site]) -> Scores:
    """Earlier channels are more important, whatever their content: a network that is narrow from the start."""
    found = {}
    for site in sites:
        size = site.channels // site.chunks
        found[site.writer] = 1 - (torch.arange(site.channels) % size) / size
    return found


def _without_gradients(importance: str, site: str) -> PipelineError:
    return PipelineError(
        f"distill.importance: {importance} needs gradients, but none reaches the channels of {site}: the layers "
        "after it are frozen or not used. Set distill.importance: norm."
    )


def gradient_scores(gates: Mapping[str, Gate], losses: Iterable[Tensor]) -> Scores:
    """Fourth root of the mean over batches of (∂L/∂g)², for gates g of value one.

    (∂L/∂g)² is the first-order change of the loss without the channel: Molchanov et al., "Importance Estimation for
    Neural Network Pruning", CVPR 2019, equation 8, with gates after the norms. The gradient of a shared gate is the sum
    over all layers that write the channel. The root preserves the order within a site. Between sites it matters:
    squares have a long tail after activations and none in streams, so that multiples of their mean would remove most
    inner channels of inverted residuals (docs/results).

    Args:
        losses: one per batch, with the gates in their graph; nothing is trained.

    Raises:
        PipelineError: no gradient reaches a gate.
    """
    totals = {name: torch.zeros_like(gate.weight) for name, gate in gates.items()}
    count = 0
    for loss in losses:
        found = torch.autograd.grad(loss, [gate.weight for gate in gates.values()], allow_unused=True)
        for name, gradient in zip(gates, found, strict=True):
            if gradient is None:
                raise _without_gradients("taylor", name)
            totals[name] += gradient.square()
        count += 1
    return {name: (total / count).float().cpu() ** ROOT for name, total in totals.items()}


def _by_input(layer: nn.Conv2d | nn.Linear, values: Tensor) -> Tensor:
    """Sum of values like the layer's weights over all weights that read a channel, by input channel."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    apart = values.view(groups, -1, *values.shape[1:])  # groups × outputs of a group × inputs of a group × …
    return apart.transpose(1, 2).flatten(0, 1).flatten(1).sum(1)


def sensitivity_scores(network: nn.Module, sites: Sequence[Site], losses: Iterable[Tensor]) -> Scores:
    """Σ |w · ∂L/∂w| over all weights w of convolutions and linear layers that are removed with a channel.

    These are the filters that write it, at all writers, the depthwise ones that it passes through, and the columns of
    all readers. |w · ∂L/∂w| is the sensitivity of Lee et al., "SNIP", ICLR 2019, equation 5, without its norm; the sum
    over coupled layers is that of Torch-Pruning's `GroupTaylorImportance`. Gradients are added over batches before
    absolute values are taken, so that the noise of batches cancels.

    Args:
        losses: one per batch, with the network's weights in their graph; nothing is trained.

    Raises:
        PipelineError: no gradient reaches a site.
    """
    layers = {name: network.get_submodule(name) for site in sites for name in site.layers}
    linear = {name: layer for name, layer in layers.items() if isinstance(layer, (nn.Conv2d, nn.Linear))}
    totals = {name: torch.zeros_like(layer.weight) for name, layer in linear.items()}
    reached = set[str]()
    learning = {name: layer.weight for name, layer in linear.items() if layer.weight.requires_grad}
    for loss in losses if learning else ():
        found = torch.autograd.grad(loss, [*learning.values()], allow_unused=True)
        for name, gradient in zip(learning, found, strict=True):
            if gradient is not None:
                totals[name] += gradient
                reached.add(name)
    parts = {name: (totals[name] * layer.weight.detach()).abs().cpu().double() for name, layer in linear.items()}
    scores = {}
    for site in sites:
        through = (*(writer.layer for writer in site.writers), *site.channelwise, *site.factors)
        if reached.isdisjoint([*through, *site.readers]):
            raise _without_gradients("sensitivity", site.writer)
        rows = [parts[name].flatten(1).sum(1) for name in through if name in parts]
        columns = [_by_input(linear[name], parts[name]) for name in site.readers]
        scores[site.writer] = torch.stack([*rows, *columns]).sum(0).float()
    return scores


def gated_copy(student: nn.Module, embedder: Embedder, sites: Sequence[Site]) -> tuple[nn.Module, dict[str, Gate]]:
    """A copy of a network that holds `embedder`, with a gate at every site."""
    memo: dict[int, object] = {}
    copied = copy.deepcopy(student, memo)
    return copied, insert_gates(cast(nn.Module, memo[id(embedder)]), sites)


class RetrievalScores:
    """Contribution of channels to matches, as a score: RGGR's contribution, averaged instead of voted on.

    CVPR 2023, section 3.3: |gallery[n, c] · query[c]| for each query and its nearest neighbours n, pooled features (for
    cosine: of length 1); here its mean over all queries and neighbours. Queries and gallery are the same images, and
    none is its own neighbour.

    Args:
        network: features are taken after the norms of its sites.
        settings: number of neighbours, most images, and the distance.
    """

    def __init__(self, network: nn.Module, sites: Sequence[Site], settings: Resetting) -> None:
        self.sites, self.settings, self._cosine = sites, settings, settings.distance == "cosine"
        places = {w.layer: (norm_output(network.get_submodule(w.place)), w.linear) for s in sites for w in s.writers}
        self._taps = Taps(places)
        self._rows: dict[str, list[Tensor]] = {site.writer: [] for site in sites}

    @torch.no_grad()
    def add(self) -> None:
        """Add the features of the latest forward pass."""
        for site in self.sites:
            given = torch.stack([self._taps.features[writer.layer] for writer in site.writers]).sum(0)
            self._rows[site.writer].append((functional.normalize(given) if self._cosine else given).cpu())

    def stop(self) -> None:
        """Restore the network."""
        self._taps.remove()

    @torch.no_grad()
    def scores(self) -> Scores:
        """By the site's writer, C."""
        found = {}
        for name, parts in self._rows.items():
            rows = torch.cat(parts)[-self.settings.bank :]
            likeness = rows @ rows.T
            if not self._cosine:  # −‖r − s‖² without ‖r‖², which is equal for all s
                likeness = 2 * likeness - rows.square().sum(1)
            likeness.fill_diagonal_(-torch.inf)
            nearest = likeness.topk(min(self.settings.neighbours, len(rows) - 1), dim=1).indices
            found[name] = (rows[nearest] * rows[:, None, :]).abs().mean((0, 1))
        return found
