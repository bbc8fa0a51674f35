"""Torch-Pruning as its users run it, for comparison with this project's selection.

https://github.com/VainF/Torch-Pruning: all coupled groups of its dependency graph, its importance, its pruner in one
step, with the smallest pruning ratio that meets the budget.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
import torch_pruning
from torch import nn

from pipeline.errors import BudgetError
from pipeline.method.distillation import output_losses
from pipeline.method.settings import Distillation
from pipeline.networks.cost import network_cost
from pipeline.training.supervised import Classified

if TYPE_CHECKING:
    from pipeline.method.selection import Batches
    from pipeline.networks.embedder import Embedder

SCANNED = 10  # pruning ratios that are tried in ascending order
TRIES = 8  # bisections after that: how closely the budget is met


def _with_gradients(network: nn.Module) -> nn.Module:
    """A copy including gradients."""
    copied = copy.deepcopy(network)
    for one, other in zip(network.parameters(), copied.parameters(), strict=True):
        other.grad = None if one.grad is None else one.grad.clone()
    return copied


def _pruned(embedder: Embedder, ratio: float, settings: Distillation) -> Embedder:
    """A copy with a share of its channels removed in one step."""
    small = cast("Embedder", _with_gradients(embedder)).eval()
    size, device = small.size, next(small.parameters()).device
    importance: Any = (
        torch_pruning.importance.GroupTaylorImportance()
        if settings.importance == "taylor"
        else torch_pruning.importance.GroupMagnitudeImportance(p=1 if settings.importance == "l1" else 2)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parameters that it ignores
        torch_pruning.pruner.BasePruner(
            small,
            torch.zeros(2, 3, size.height, size.width, device=device),
            importance=importance,
            global_pruning=settings.allocation != "uniform",
            isomorphic=settings.allocation == "isomorphic",
            pruning_ratio=ratio,
            ignored_layers=[module for module in small.head if isinstance(module, nn.Linear)],
            round_to=settings.align if settings.align > 1 else None,
        ).step()
    return small


def prune_with_library(
    student: Classified, teacher: Classified, settings: Distillation, what: str, share: float, batches: Batches
) -> None:
    """Shrink a dense student, in place.

    Args:
        what: `macs` or `params`, of which `share` may remain.

    Raises:
        BudgetError: no pruning ratio meets the budget.
    """
    embedder = student.embedder

    def cost(network: Embedder) -> float:
        found = network_cost(network, network.size)
        return float(found.macs if what == "macs" else found.parameters)

    dense, training = cost(embedder), student.training
    if settings.importance == "taylor":
        student.train()
        student.zero_grad(set_to_none=True)
        full = torch.ones((), device=student.classifier.weight.device)
        for images, labels in batches(settings.score_steps):
            with torch.no_grad():
                taught = teacher(images)
            terms = output_losses(student(images), taught, labels, settings, full)
            torch.stack([*terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
    # The pruner skips a layer that would lose all channels, so the cost stops falling at some ratio.
    low, high, best = 0.0, 0.0, embedder
    while cost(best) > share * dense and high < 1:
        low, high = high, high + 1 / SCANNED
        best = _pruned(embedder, high, settings)
    if cost(best) > share * dense:
        raise BudgetError(
            f"distill.compress.{what} {share:g} can't be met by Torch-Pruning: no pruning ratio leaves so few of the "
            f"dense network's {what}. Relax it."
        )
    for _ in range(TRIES):
        middle = (low + high) / 2
        small = _pruned(embedder, middle, settings)
        if cost(small) <= share * dense:
            high, best = middle, small
        else:
            low = middle
    student.embedder = best
    student.zero_grad(set_to_none=True)
    student.train(training)
