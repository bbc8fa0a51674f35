"""Torch-Pruning as its users run it: what this project's own selection is compared with.

https://github.com/VainF/Torch-Pruning: all coupled groups of the dependency graph, its importance, its pruner, steps
until few enough multiply-accumulates are left.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

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

STEPS = 200  # of the pruner, from all channels to none: how finely the budget is met


def prune_with_library(
    student: Classified, teacher: Classified, settings: Distillation, what: str, share: float, batches: Batches
) -> None:
    """Make a dense student small, in place.

    Args:
        what: `macs` or `params`, of which `share` may be left.

    Raises:
        BudgetError: the pruner stops before the budget is met.
    """
    embedder = student.embedder
    size = embedder.size
    device = student.classifier.weight.device
    example = torch.zeros(2, 3, size.height, size.width, device=device)

    def cost() -> float:
        found = network_cost(embedder, size)
        return float(found.macs if what == "macs" else found.parameters)

    dense, training = cost(), student.training
    taylor = settings.importance == "taylor"
    importance: Any = (
        torch_pruning.importance.GroupTaylorImportance()
        if taylor
        else torch_pruning.importance.GroupMagnitudeImportance(p=1 if settings.importance == "l1" else 2)
    )
    embedding = [module for module in embedder.head if isinstance(module, nn.Linear)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters that it leaves alone
        pruner = torch_pruning.pruner.BasePruner(
            embedder.eval(),
            example,
            importance=importance,
            global_pruning=settings.allocation != "uniform",
            isomorphic=settings.allocation == "isomorphic",
            pruning_ratio=1.0,
            max_pruning_ratio=0.98,
            iterative_steps=STEPS,
            ignored_layers=embedding,
            round_to=settings.align if settings.align > 1 else None,
        )
        if taylor:
            student.train()
            student.zero_grad(set_to_none=True)
            for images, labels in batches(settings.score_steps):
                with torch.no_grad():
                    taught = teacher(images)
                terms = output_losses(student(images), taught, labels, settings, torch.ones((), device=device))
                torch.stack([*terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
            embedder.eval()
        for _ in range(STEPS):
            if cost() <= share * dense:
                break
            pruner.step()
    student.zero_grad(set_to_none=True)
    student.train(training)
    if cost() > share * dense:
        raise BudgetError(
            f"distill.compress.{what} {share:g} can't be met by Torch-Pruning: {cost() / dense:.3f} of the dense "
            f"network's {what} are left where it stops. Ask for more than that."
        )
