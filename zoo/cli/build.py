"""`zoo build`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from pipeline.engine.processes import Processes, join, launched
from pipeline.progress import Silent
from zoo.cli.completion import dataset as datasets
from zoo.cli.completion import model
from zoo.cli.completion import release as here
from zoo.cli.options import DATA_ROOT, HOST, PLAN, PRECISION, SET, TARGETS, check_host, scripted, with_precision


@click.command(short_help="Build a model, from the teacher to measured artifacts.")
@click.argument("name", required=False, shell_complete=model)
@TARGETS("Build for this target; repeatable.")
@DATA_ROOT
@click.option(
    "--from",
    "parent",
    metavar="RELEASE",
    shell_complete=here,
    help="Start from the network of this release: NAME, NAME@VERSION or NAME@^RANGE.",
)
@click.option("--dataset", metavar="DATASET", shell_complete=datasets, help="Train and test on this data set.")
@click.option(
    "--student",
    metavar="timm:ARCHITECTURE",
    help="Train this small network of timm in place of a compressed one; the release is called NAME-ARCHITECTURE.",
)
@SET("Override the recipe: distill.epochs=3.")
@PRECISION
@HOST
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to train.")
@click.option(
    "--gpus", type=click.IntRange(min=1), metavar="N", help="Train on N GPUs of this machine, one process each."
)
@PLAN
@scripted
def build(
    name: str | None,
    targets: tuple[str, ...],
    data_root: Path,
    parent: str | None,
    dataset: str | None,
    student: str | None,
    overrides: tuple[str, ...],
    precision: str | None,
    host: str | None,
    device: str,
    gpus: int | None,
    plan_only: bool,
    as_json: bool,
) -> None:
    """Build model NAME: teacher, student, graph, artifacts, figures, manifest.

    Without NAME, builds the catalogue's default. Results of earlier builds are reused; an interrupted build continues
    where it stopped. With --from, NAME need not be in the catalogue: its recipe is that of RELEASE with the settings of
    `_from`.
    """
    from zoo.building.launch import check_gpus, launch

    check_host(host, targets)
    if student == "":
        raise click.UsageError("--student needs an architecture, as in timm:mobilenetv4_conv_small.")
    if parent is not None and name is None:
        raise click.UsageError("--from needs NAME: what the new model is called.")
    if gpus and device == "cpu":
        raise click.UsageError("--gpus and --device cpu exclude each other: leave one of them out.")
    if gpus and not launched() and not plan_only:
        check_gpus(gpus)
        if gpus > 1:
            sys.exit(launch(sys.argv[1:], gpus))
    from pipeline.data.account import account_lines
    from zoo.building.budget import budget_lines, planned_budget
    from zoo.building.build import BuildRequest, check_recipe, help_run, prepare, run
    from zoo.catalogue import load_catalogue
    from zoo.cli.output import plan_json, print_plan, print_release, release_json, training_device
    from zoo.cli.script import print_json, reporter
    from zoo.home import Home
    from zoo.release.local import read_release
    from zoo.sanitize import one_line

    chosen = {"from": parent, "dataset": dataset, "student": student}
    overrides = (*(f"{key}={value}" for key, value in chosen.items() if value is not None), *overrides)
    overrides = with_precision(overrides, precision)
    catalogue = load_catalogue()
    processes = join(training_device(device)) if launched() else None
    alone = processes is None or processes.main
    progress = reporter() if alone else Silent()
    with processes.main_first() if processes else nullcontext():
        request = BuildRequest(name or catalogue.default, targets, overrides, host)
        prepared = prepare(catalogue, Home.find(), request, data_root, progress)
    if plan_only:
        told = check_recipe(prepared) if alone else []
        budget = planned_budget(prepared.plan, prepared.store, prepared.compress)
        if as_json:
            print_json(plan_json(prepared.plan, prepared.recipe.dataset, prepared.data, budget))
        elif alone:
            print_plan(prepared.plan)
            for line in (*account_lines(prepared.data.accounts), *budget_lines(budget), *told):
                click.echo(one_line(line))
        return
    for line in account_lines(prepared.data.accounts):
        progress.say(one_line(line))
    if processes and not processes.main:
        help_run(prepared, processes, progress)
        processes.leave()
        return
    if processes is None:
        work_left = any(not planned.hit for planned in prepared.plan)
        processes = Processes(training_device(device) if work_left else "cpu")
    release = read_release(run(prepared, processes, progress))
    processes.leave()
    if as_json:
        print_json(release_json(release))
    else:
        print_release(release, prepared.home.bundles)
