"""What was predicted of a student on the target of its budget, beside what was measured there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pipeline.latency import BUDGET
from pipeline.method.settings import Compress
from pipeline.plan import Planned
from pipeline.stages.latency_budget import LATENCY
from pipeline.stages.latency_table import NETWORKS
from pipeline.store import Store
from pipeline.work import read_json
from zoo.manifest import BudgetRecord
from zoo.measurements import Measured, Measurement


def _figure(what: str, cost: float) -> float:
    """A cost as the figure that was asked for."""
    return round(1000 / cost if what == "images_per_second" else cost, 4)


def _measured(content: Mapping[str, Any], records: Iterable[Measurement]) -> float | None:
    of = ("student", content["precision"], content["target"])
    for record in records:
        if isinstance(record, Measured) and (record.network, record.precision, record.target) == of:
            for row in record.latency:
                if row.batch == content["batch"] and content["what"] == "mj_per_image":
                    return row.energy.mj_per_image if row.energy else None
                if row.batch == content["batch"]:
                    figure: float = getattr(row, content["what"])
                    return figure
    return None


def plan_lines(plan: Sequence[Planned], store: Store, compress: Compress | None) -> list[str]:
    """What a plan says about a budget that counts a figure of a target: what is predicted, if that is known by now."""
    if compress is None or not compress.measured:
        return []
    asked = f"budget: {compress.what} {compress.asked:g} on {compress.target} in {compress.precision}"
    (step,) = (planned for planned in plan if planned.step.name == BUDGET)
    if not step.hit:
        return [
            f"{asked}: {NETWORKS + 2} networks of several widths are measured there before anything is trained; "
            "a plan then tells what they predict"
        ]
    content = read_json(store.folder(BUDGET, step.key) / LATENCY)
    what, near = content["what"], _error_near(content)
    lines = [
        f"{asked}; predicted: dense {_figure(what, content['dense']):.4g}, at the least "
        f"{_figure(what, content['least']):.4g}; {100 * content['error']:.1f} % off where it was not fitted to"
        + ("" if near is None else f", {100 * near:.1f} % near the budget")
    ]
    if even := content["even"]:
        widths = ", ".join(f"{name} {kept}/{content['full'][name]}" for name, kept in even.items())
        lines.append(f"widths that are predicted to meet it if every site gives the same share: {widths}")
    return lines


def _error_near(content: Mapping[str, Any]) -> float | None:
    """Mean relative error near the budget of what was not fitted to."""
    near = content["near"]
    return round(fmean(abs(one["measured"] / one["predicted"] - 1) for one in near), 4) if near else None


def budget_record(folders: Mapping[str, Path], records: Iterable[Measurement]) -> BudgetRecord | None:
    """The record of a budget that counts a figure of a target; none if there is no such budget.

    Args:
        folders: results of steps, by name.
        records: of this build.
    """
    if BUDGET not in folders:
        return None
    from pipeline.method.latency_model import predict, read_fit

    content = read_json(folders[BUDGET] / LATENCY)
    sites = read_json(folders["compact"] / "compression.json")["sites"]
    layers, found = read_fit(content)
    predicted = predict(layers, found, {site["site"]: site["width_after"] for site in sites})
    what = content["what"]
    return BudgetRecord(
        what=what,
        asked=content["asked"],
        target=content["target"],
        precision=content["precision"],
        batch=content["batch"],
        predicted=_figure(what, predicted),
        measured=_measured(content, records),
        dense=_figure(what, content["dense"]),
        reachable=_figure(what, content["least"]),
        error=round(content["error"], 4),
        error_near=_error_near(content),
        device=content["device"],
        runtime_version=content["runtime"]["version"],
    )
