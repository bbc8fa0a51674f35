"""Steps before all training, if a budget limits a figure of a target; by the location of its device.

here                     latency_table ─► latency_budget
over ssh, or elsewhere   latency_bundle ─► latency_table ─► latency_budget
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.engine.plan import Planned
from pipeline.engine.step import LATENCY_BUDGET, Step, StepId
from pipeline.errors import BudgetError
from pipeline.networks.released import Released
from pipeline.planning.deployment import place_of
from pipeline.recipe import Recipe
from pipeline.stages import bundle, latency_budget, latency_table
from pipeline.stages.width_graphs import LIBRARIES
from targets.contract import make_target, precisions_of, runtime_version, version_check
from targets.machine.device import this_device
from targets.measuring.energy import find_meter
from targets.settings import TargetSettings
from targets.ssh import check_device
from targets.ssh.address import read_address


def latency_steps(
    recipe: Recipe,
    release: str,
    name: str,
    target: TargetSettings,
    result: Path | None = None,
    start: Released | None = None,
) -> Iterator[Step]:
    """Steps from the widths that are measured on a target to the model of a budget.

    Args:
        release: name@version.
        name, target: those of the budget.
        result: the device's result of the bundle, if it was copied here.
        start: see `training_steps`.

    Raises:
        UnknownRuntime, UnsupportedPrecision, Unusable, DeviceError: see `pipeline.planning.deployment.TargetPlan`.
    """
    compress = recipe.distill.compress
    assert compress is not None
    compress = compress.model_copy(update={"target": name})  # it may be an alias
    runner = make_target(target)
    precisions_of(runner, replace(target, precisions=None), compress.precision)
    place = place_of(target, runner)
    batch = max(recipe.measure.batches) if compress.what == "images_per_second" else 1
    asked = {
        "network": recipe.network,
        "input": recipe.input,
        "sites": recipe.distill.sites,
        "align": recipe.distill.align,
        "target": target.computing,
        "precision": compress.precision,
        "batch": batch,
    }
    files = {"layers": start.layers} if start and recipe.student_is_released else {}
    table, bundled = StepId("latency_table", target=name), StepId("latency_bundle", target=name)
    if place == "here":
        runtime_version(runner)
        yield Step(
            table,
            latency_table.measure_table,
            latency_table.VERSION,
            asked,
            files=files,
            libraries=(*LIBRARIES, runner.distribution),
            place=this_device(),
        )
    else:
        if target.host:
            read_address(target.host)
        yield Step(
            bundled,
            latency_table.bundle_table,
            latency_table.VERSION,
            {
                **asked,
                "target": replace(target.computing, board=target.board),
                "release": release,
                "name": name,
                "code": bundle.code_digest(target.runtime),
            },
            files=files,
            libraries=LIBRARIES,
        )
        yield Step(
            table,
            partial(latency_table.measure_table_elsewhere, python=target.python),
            latency_table.VERSION,
            {"host": None if result else target.host, "name": name, "batch": batch},
            inputs={"bundle": bundled},
            files={"result": result},
        )
    yield Step(
        LATENCY_BUDGET,
        partial(latency_budget.fit_budget, python=target.python, release=release),
        latency_budget.VERSION,
        {
            "network": recipe.network,
            "input": recipe.input,
            "method": recipe.distill.method,
            "sites": recipe.distill.sites,
            "align": recipe.distill.align,
            "compress": compress,
            "target": target.computing,
            "place": "elsewhere" if result else place,
            "host": None if result else target.host,
        },
        inputs={"table": table},
        files=files,
        libraries=LIBRARIES,
    )


def check_latency(plan: Sequence[Planned], target: TargetSettings, recipe: Recipe) -> None:
    """Check, before minutes of exports, that networks can be measured on the budget's target.

    Raises:
        Unusable: the target is on this machine, and is not usable.
        DeviceError: the target is over ssh, and is not reached, or lacks Python, numpy or a version of the runtime that
            the target takes.
        BudgetError: it has no meter for the energy that the budget limits.
    """
    runs = {planned.step.stage for planned in plan if not planned.hit} & {"latency_table", LATENCY_BUDGET.stage}
    if not runs:
        return
    runner = make_target(target)
    place = place_of(target, runner)
    if place == "here":
        runner.check()
        compress = recipe.distill.compress
        if compress and compress.what == "mj_per_image" and find_meter(runner.gpu_bus_id) is None:
            raise BudgetError(
                f"distill.compress.mj_per_image can't be counted on {compress.target}: this machine has no meter, "
                "or it is not readable. Use p50_ms instead."
            )
    elif target.host:
        check_device(target.host, target.python, runner.distribution, version_check(runner))
