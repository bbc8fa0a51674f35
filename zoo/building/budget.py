"""The figure of a budget: predicted for a student, and measured on the budget's target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pipeline.engine.plan import Planned
from pipeline.engine.step import COMPACT, DISTILL, LATENCY_BUDGET, StepId
from pipeline.engine.store import Store
from pipeline.engine.work import read_json
from pipeline.method.compress import Compress, Counted
from pipeline.stages.latency_budget import LatencyBudget
from pipeline.stages.latency_table import NETWORKS
from targets.settings import Precision
from zoo.release.compression import BudgetRecord
from zoo.release.measurements import Measured, Measurement


@dataclass(frozen=True)
class Predicted:
    """Prediction from networks of several widths, measured on the budget's target. Figures are in the budget's unit."""

    dense: float  # with all channels
    reachable: float  # with the fewest possible channels
    error: float  # mean relative error on networks not used for the fit
    error_near: float | None  # the same near the budget
    widths: Mapping[str, int]  # channels by site that meet the budget at an equal share for all sites
    full: Mapping[str, int]  # channels by site of the dense network


@dataclass(frozen=True)
class PlannedBudget:
    """A budget that limits a figure of a target, and what is known of it before training."""

    what: Counted
    asked: float
    target: str
    precision: Precision
    predicted: Predicted | None  # None until widths are measured there


def _figure(what: str, cost: float) -> float:
    """Converts a cost to the figure of the budget."""
    return round(1000 / cost if what == "images_per_second" else cost, 4)


def _measured(budget: LatencyBudget, records: Iterable[Measurement]) -> float | None:
    of = ("student", budget.precision, budget.target)
    for record in records:
        if isinstance(record, Measured) and (record.network, record.precision, record.target) == of:
            for row in record.latency:
                if row.batch == budget.batch and budget.what == "mj_per_image":
                    return row.energy.mj_per_image if row.energy else None
                if row.batch == budget.batch:
                    figure: float = getattr(row, budget.what)
                    return figure
    return None


def planned_budget(plan: Sequence[Planned], store: Store, compress: Compress | None) -> PlannedBudget | None:
    """The budget of a plan that limits a figure of a target; None if there is no such budget."""
    if compress is None or not compress.measured:
        return None
    (step,) = (planned for planned in plan if planned.step.id == LATENCY_BUDGET)
    assert compress.target is not None
    found = _predicted(LatencyBudget.read(store.folder(LATENCY_BUDGET.stage, step.key))) if step.hit else None
    return PlannedBudget(compress.what, compress.asked, compress.target, compress.precision, found)


def _predicted(budget: LatencyBudget) -> Predicted:
    even = budget.even or {}
    return Predicted(
        dense=_figure(budget.what, budget.dense),
        reachable=_figure(budget.what, budget.least),
        error=budget.error,
        error_near=_error_near(budget),
        widths=even,
        full={name: budget.full[name] for name in even},
    )


def budget_lines(budget: PlannedBudget | None) -> list[str]:
    """A planned budget in words."""
    if budget is None:
        return []
    asked = f"budget: {budget.what} {budget.asked:g} on {budget.target} in {budget.precision}"
    found = budget.predicted
    if found is None:
        return [
            f"{asked}: {NETWORKS + 2} networks of several widths are measured there before training; "
            "a plan shows the prediction afterwards"
        ]
    near = found.error_near
    lines = [
        f"{asked}; predicted: dense {found.dense:.4g}, at least {found.reachable:.4g}; "
        f"mean error {100 * found.error:.1f} % on other networks"
        + ("" if near is None else f", {100 * near:.1f} % near the budget")
    ]
    if found.widths:
        widths = ", ".join(f"{name} {kept}/{found.full[name]}" for name, kept in found.widths.items())
        lines.append(f"predicted widths that meet it at an equal share for all sites: {widths}")
    return lines


def _error_near(budget: LatencyBudget) -> float | None:
    """Mean relative error near the budget, on networks that were not used for the fit."""
    near = budget.near
    return round(fmean(abs(one.measured / one.predicted - 1) for one in near), 4) if near else None


def _widths(budget: LatencyBudget, distilled: Path, compacted: Path) -> dict[str, int]:
    """Channels of the student at each site that was measured.

    Fusing branches renames layers. A student that was small before it was compacted has the names of the measured
    sites in the description of the stage `distill`.
    """
    from pipeline.networks.serialization import DESCRIPTION, Description

    if not (distilled / DESCRIPTION).exists():  # it had compactors
        return {site["site"]: site["width_after"] for site in read_json(compacted / "compression.json")["sites"]}
    layers = Description.model_validate_json((distilled / DESCRIPTION).read_bytes()).layers
    return {name: layers[name].weight[0] if name in layers else full for name, full in budget.full.items()}


def budget_record(folders: Mapping[StepId, Path], records: Iterable[Measurement]) -> BudgetRecord | None:
    """The record of a budget that limits a figure of a target; None if there is no such budget.

    Args:
        folders: results of steps.
        records: measurements of this build.
    """
    if LATENCY_BUDGET not in folders:
        return None
    from pipeline.method.latency_model import predict, read_fit

    budget = LatencyBudget.read(folders[LATENCY_BUDGET])
    layers, found = read_fit(budget.layers, budget.fit)
    predicted = predict(layers, found, _widths(budget, folders[DISTILL], folders[COMPACT]))
    return BudgetRecord(
        what=budget.what,
        asked=budget.asked,
        target=budget.target,
        precision=budget.precision,
        batch=budget.batch,
        predicted=_figure(budget.what, predicted),
        measured=_measured(budget, records),
        dense=_figure(budget.what, budget.dense),
        reachable=_figure(budget.what, budget.least),
        error=round(budget.error, 4),
        error_near=_error_near(budget),
        device=budget.device,
        runtime_version=budget.runtime.version,
    )
