"""Output shared by several commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from rich.console import Console

from pipeline.engine.plan import Planned
from targets.bundles.contents import bundle_needs
from zoo.cli.screen import Screen
from zoo.release.local import Release
from zoo.sanitize import one_line
from zoo.tables import gains, measurement_table

if TYPE_CHECKING:
    from pipeline.data.account import SplitAccount, SplitName
    from pipeline.data.samples import Index
    from zoo.building.budget import PlannedBudget
    from zoo.cli.shapes.commands import Plan, PlannedStep, ReleaseAndFigures
    from zoo.cli.shapes.data import SplitFigures

PIPE = 10_000  # cells: piped output is not wrapped, cut or split


def console() -> Console:
    """Standard output."""
    seen = sys.stdout.isatty()  # regardless of FORCE_COLOR
    return Screen(highlight=False, emoji=False, force_terminal=seen, width=None if seen else PIPE)


def splits_json(accounts: Mapping[SplitName, SplitAccount]) -> dict[SplitName, SplitFigures]:
    """Overview of a data set's splits, for scripts."""
    return {name: cast("SplitFigures", asdict(account)) for name, account in accounts.items()}


def plan_json(plan: Sequence[Planned], dataset: str, data: Index, budget: PlannedBudget | None) -> Plan:
    """A plan, for scripts."""
    steps: list[PlannedStep] = [
        {"step": str(p.step.id), "key": p.key, "runs": not p.hit, "reason": p.reason or None} for p in plan
    ]
    return {
        "data": {"name": dataset, "fingerprint": data.fingerprint, "splits": splits_json(data.accounts)},
        "steps": steps,
        "budget": cast("PlannedBudget | None", budget and asdict(budget)),
    }


def print_plan(plan: Sequence[Planned], err: bool = False) -> None:
    """Print one line per step: whether its result is reused or it runs, and why.

    Args:
        err: print to standard error.
    """
    width = max(len(str(planned.step.id)) for planned in plan)
    for planned in plan:
        state = "reused" if planned.hit else f"runs: {planned.reason}"
        click.echo(f"{planned.step.id!s:{width}}  {planned.key[:12]}  {state}", err=err)


def _near(path: Path) -> str:
    """The shortest form of a path from the current folder."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown


def print_release(release: Release, bundles: Path) -> None:
    """Print the table of a release, the effect of compaction, and the path of the manifest."""
    out = console()
    out.print(one_line(f"{release.manifest.label}: {release.manifest.description}"), markup=False)
    if release.public:
        out.print(measurement_table([release]))
    for line in gains(release):
        out.print(one_line(line), markup=False)
    click.echo(f"manifest: {_near(release.path)}")
    for waiting in reversed(release.pending):  # so that the first requested target comes last
        bundle = one_line(_near(bundles / waiting.bundle))
        if needs := bundle_needs(bundles / waiting.bundle):
            click.echo(f"{one_line(waiting.target)} runs on {needs}")
        click.echo(f"{one_line(waiting.target)} is pending. Copy {bundle} to the device and run:")
        click.echo(f"python3 {one_line(waiting.bundle)}")


def release_json(release: Release) -> ReleaseAndFigures:
    """A release, for scripts."""
    records = [record.model_dump(mode="json") for record in release.measurements]
    return {"manifest": release.manifest.model_dump(mode="json"), "measurements": records}


def training_device(wanted: str) -> str:
    """Resolve `auto` to CUDA if available, otherwise to the CPU.

    Raises:
        click.UsageError: CUDA is requested and not available.
    """
    if wanted == "cpu":
        return wanted
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise click.UsageError("--device cuda: torch sees no CUDA device here. Use --device cpu, or see zoo doctor.")
    return "cuda" if available else "cpu"
