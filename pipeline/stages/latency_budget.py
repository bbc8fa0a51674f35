"""Stage `latency_budget`: the cost model of a budget in milliseconds, refined near the budget.

Rates of layers are fitted to the table (`pipeline.stages.latency_table`). Networks that are predicted to meet the
budget are then measured, too, and the rates refitted, so that predictions there match measurements. A budget that can't
be met is refused here, before training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

from pipeline.data.images import Input
from pipeline.engine.work import Work
from pipeline.errors import BudgetError
from pipeline.files import write_text
from pipeline.method.compress import Compress, Counted
from pipeline.method.settings import WITH_COMPACTORS, Distillation, Method
from pipeline.networks.factory import Network
from pipeline.networks.sites import Which
from pipeline.settings import Settings
from pipeline.stages.latency_table import read_table
from pipeline.stages.width_graphs import (
    WidthTimings,
    dense_network,
    time_here,
    time_over_ssh,
    write_graphs,
    write_widths_bundle,
)
from targets.contract import Runtime
from targets.machine.device import Device
from targets.settings import Precision, TargetSettings

if TYPE_CHECKING:
    from pipeline.method.cost_model import WidthCost
    from pipeline.method.widths import Kept
    from pipeline.networks.embedder import Embedder
    from pipeline.networks.site import Site

VERSION = 2
LATENCY = "latency.json"
ROUNDS, NETWORKS = 3, 6  # of networks near the budget, and networks per round
ANCHORS = 4  # networks of the table that are timed again, to compare runs
WEIGHT = 4.0  # of a network near the budget, in the fit
CLOSE = 0.02  # relative error near the budget at which rounds end


class Neighbour(Settings):
    """What a network near the budget cost, and what was predicted before it was measured; in the budget's unit."""

    predicted: float
    measured: float


class LatencyBudget(Settings):
    """What a budget in milliseconds counts: `latency.json`. Costs are in the budget's unit.

    Attributes:
        limit: cost that the budget allows.
        dense, least: cost with all channels, and with the fewest that the method can leave.
        error: mean relative error of the fit on networks that it does not include.
        near: networks near the budget that were measured after the table.
        even: channels by site that are predicted to meet the budget if every site keeps the same share; None if none.
        full: channels by site of the dense network.
        fit, layers: rates and layers, see `pipeline.method.latency_model.read_fit`.
    """

    what: Counted
    target: str
    precision: Precision
    batch: int
    asked: float
    limit: float
    dense: float
    least: float
    error: float
    near: list[Neighbour]
    even: dict[str, int] | None
    full: dict[str, int]
    fit: dict[str, Any]
    layers: list[dict[str, Any]]
    device: Device
    runtime: Runtime
    threads: int

    @classmethod
    def read(cls, folder: Path) -> LatencyBudget:
        """From a folder of this stage."""
        return cls.model_validate_json((folder / LATENCY).read_bytes())


def costs_of(rows: Sequence[Mapping[str, Any]], what: str, batch: int) -> list[float]:
    """The budgeted figure of each network of one run: ms per call, ms per image, or mJ per image.

    Ratios between networks come from undisturbed calls, and the scale of the figure from all networks together, since
    other work on the machine affects some networks more than others.

    Raises:
        BudgetError: energy, on a device without a meter.
    """
    if what == "mj_per_image":
        if any(row["mj_per_image"] is None for row in rows):
            raise BudgetError(
                "distill.compress.mj_per_image can't be counted: the target has no energy meter, or it is not "
                "readable. Use p50_ms instead."
            )
        return [float(row["mj_per_image"]) for row in rows]
    figure = "p50_ms" if what == "p50_ms" else "mean_ms"
    level = median(row[figure] / row["low_ms"] for row in rows)
    return [row["low_ms"] * level / (1 if what == "p50_ms" else batch) for row in rows]


class _Timer:
    """Times more networks where those of the table were timed; None if that needs another trip to the device."""

    def __init__(
        self, work: Work, network: Network, input: Input, sites: Which, compress: Compress, target: TargetSettings,
        host: str | None, python: str, release: str, batch: int, layers: Path | None,
    ) -> None:  # fmt: skip
        self.work, self.input, self.compress, self.target = work, input, compress, target
        self.host, self.python, self.release, self.batch = host, python, release, batch
        self.narrowing, self.sites = dense_network(network, input, sites, layers)

    def costs(self, configurations: Sequence[Kept]) -> list[float]:
        """Cost of each network, in one run."""
        work, folder = self.work, self.work.scratch / "near"
        graphs = write_graphs(work, folder, self.narrowing, configurations, self.target, self.compress.precision)
        told: WidthTimings
        if self.host:
            archive = folder / "widths.zoo"
            near = str(self.compress.target)
            write_widths_bundle(archive, graphs, self.input, self.release, near, self.target, self.batch)
            told = time_over_ssh(work, archive, self.host, self.python)
        else:
            told = time_here(work, graphs, self.input, self.target, self.batch)
        return costs_of(told.model_dump(mode="json")["rows"], self.compress.what, self.batch)


def least_cost(sites: Sequence[Site], model: WidthCost, method: Method, align: int) -> float:
    """Cost with the fewest channels that a method can leave; only those with compactors remove whole branches."""
    from pipeline.method.widths import least_widths

    return model(least_widths(sites, align, drop=method in WITH_COMPACTORS))


def check_budget(
    sites: Sequence[Site], model: WidthCost, compress: Compress, method: Method, align: int, embedder: Embedder
) -> None:
    """Check that a budget can be met, and that it limits anything.

    Raises:
        BudgetError: it can't or does not; the message says what is possible.
    """
    from pipeline.method.allocation import channels_above
    from pipeline.method.budget import make_budget
    from pipeline.method.importance import position_scores

    if compress.cost >= model.dense:
        raise BudgetError(
            f"distill.compress.{compress.what} {compress.asked:g} limits nothing: with all channels "
            f"{compress.told(1.0, model.dense)}. Tighten it, or leave compress out."
        )
    if method in WITH_COMPACTORS:
        make_budget(embedder, sites, Distillation(method=method, compress=compress, align=align), model)
    else:
        channels_above(model, position_scores(sites), compress, align)


def fit_budget(
    work: Work,
    *,
    network: Network,
    input: Input,
    method: Method,
    sites: Which,
    align: int,
    compress: Compress,
    target: TargetSettings,
    place: Literal["here", "ssh", "elsewhere"],
    host: str | None,
    python: str,
    release: str,
    table: Path,
    layers: Path | None = None,
) -> None:
    """Write `latency.json`: rates of layers, their prediction error, and the prediction for the budget.

    Args:
        method, sites, align, compress: settings of the student's distillation.
        target: target of the budget.
        place, host, python: location of the target.
        release: name@version, for a bundle over ssh.
        table: folder of the stage `latency_table`.
        layers: description of a release's network, if the student starts with its widths.

    Raises:
        BudgetError: see `check_budget`, `costs_of`.
    """
    from pipeline.method.latency_model import LatencyModel, fit, predict
    from pipeline.method.width_choice import even_pattern, near_widths, within
    from pipeline.networks.released import structure
    from pipeline.networks.sites import find_sites

    about, configurations, widths = read_table(table)
    batch: int = about["batch"]
    costs = costs_of(about["rows"], compress.what, batch)
    weights = [1.0] * len(costs)
    embedder = structure(network, input, layers)
    found = find_sites(embedder, sites)

    def fitted() -> LatencyModel:
        rates = fit(widths, configurations, costs, weights)
        close = [one for one, weight in enumerate(weights) if weight == WEIGHT]
        if close:  # their common deviation is not a layer's: it sets the level near the budget
            level = median(costs[one] / predict(widths, rates, configurations[one]) for one in close)
            rates = replace(rates, rates=tuple(level * rate for rate in rates.rates))
        return LatencyModel(found, widths, rates)

    model = fitted()
    check_budget(found, model, compress, method, align, embedder)
    near: list[Neighbour] = []
    timer = None
    if place != "elsewhere":
        timer = _Timer(work, network, input, sites, compress, target, host, python, release, batch, layers)
    for number in range(ROUNDS if timer else 0):
        assert timer is not None
        chosen = near_widths(found, align, model, compress.cost, NETWORKS, seed=number)
        chosen = [kept for kept in chosen if kept not in configurations]
        if not chosen:
            break
        order = sorted(range(len(costs)), key=lambda one: abs(costs[one] - compress.cost))
        anchors = list(dict.fromkeys([0, *order]))[:ANCHORS]
        seen = timer.costs([*(configurations[one] for one in anchors), *chosen])
        drift = median(now / costs[one] for now, one in zip(seen[: len(anchors)], anchors, strict=True))
        errors = [cost / (drift * model(kept)) - 1 for kept, cost in zip(chosen, seen[len(anchors) :], strict=True)]
        near += [
            Neighbour(predicted=round(model(kept) * drift, 4), measured=round(cost, 4))
            for kept, cost in zip(chosen, seen[len(anchors) :], strict=True)
        ]
        costs = [drift * cost for cost in costs] + seen[len(anchors) :]
        configurations, weights = [*configurations, *chosen], [*weights, *[WEIGHT] * len(chosen)]
        model = fitted()
        work.progress.say(
            f"near the budget: mean error {100 * fmean(map(abs, errors)):.1f} % before refitting, "
            f"this run {100 * (drift - 1):+.1f} % from the previous one"
        )
        if fmean(map(abs, errors)) <= CLOSE:
            break
    check_budget(found, model, compress, method, align, embedder)
    least = least_cost(found, model, method, align)
    even = within(model, compress.cost, even_pattern(found, align))
    assert compress.target is not None
    found_out = LatencyBudget(
        what=compress.what,
        target=compress.target,
        precision=compress.precision,
        batch=batch,
        asked=compress.asked,
        limit=compress.cost,
        dense=model.dense,
        least=least,
        error=model.found.error,
        near=near,
        even=dict(even) if even else None,
        full={site.writer: site.channels for site in found},
        fit=asdict(model.found),
        layers=about["layers"],
        device=about["device"],
        runtime=about["runtime"],
        threads=about["threads"],
    )
    write_text(work.out / LATENCY, found_out.model_dump_json(indent=2) + "\n")
    told = compress.told(least / model.dense, model.dense)
    work.progress.say(f"{compress.told(1.0, model.dense)} dense; with the fewest possible channels {told}")
