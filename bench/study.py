"""Compares methods of compression: same data, teacher, losses, schedule and budget, several seeds.

    python -m bench.study --data-root /data                                  Omniglot, all of the catalogue's study-…
    python -m bench.study --dataset hcmc --recipes study-cdd-rggr study-narrow --seeds 3 --out docs/results/study-hcmc
    python -m bench.study --set distill.epochs=6 --set input.height=64 --set input.width=64
    python -m bench.study --vary distill.compress.macs=0.15,0.3,0.45 --parallel 8       eight trainings on one GPU
    python -m bench.study --small mobilenetv3_large_100 regnetx_004            small networks of timm in addition

Recipes are the catalogue's; `--dataset` and `--set` apply to all of them, `--vary` with one value after another.
`--time TARGET` then times the small networks there, and compares all at the milliseconds that the first recipe takes.
Results of stages are kept in the store, as in any build: an interrupted study continues, and recipes with the same
teacher train it once. A recipe that fails is reported with its error, and the others continue. Without --out the table
is only printed; with it, NAME.json holds every run and NAME.md the table, both rewritten after each run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
from rich.console import Console

from bench.figures import command, installed, machine
from bench.speed import Timed, at_equal_time, time_students, times_json
from bench.trials import Run, Trial, run_in_parallel, run_one_by_one
from pipeline.files import write_text
from pipeline.recipe import Recipe
from targets.machine.device import this_device
from targets.measuring.quiet import assess
from zoo.catalogue import load_catalogue
from zoo.cli.output import training_device
from zoo.cli.progress import ConsoleProgress
from zoo.errors import ZooError

SMALL = "study-small"  # the recipe of networks that are small from the start


def _spread(values: list[float], digits: int = 2) -> str:
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def table(runs: list[Run]) -> str:
    """Markdown: mean ± standard deviation over seeds, most accurate first."""
    varied = any(one.at for one in runs)
    groups: dict[tuple[str, str], list[Run]] = {}
    for one in runs:
        groups.setdefault((one.at, one.recipe), []).append(one)
    order = [*dict.fromkeys(one.at for one in runs)]
    ordered = sorted(groups.items(), key=lambda item: (order.index(item[0][0]), -mean(one.map for one in item[1])))
    lines = [
        "| recipe |"
        + " at |" * varied
        + " mAP % | against the teacher | R1 % | parameters saved % | MACs saved % | seeds |",
        "|---" * (7 + varied) + "|",
    ]
    for (at, name), some in ordered:
        cells = [
            *[at] * varied,
            _spread([one.map for one in some]),
            _spread([one.map - one.teacher_map for one in some]),
            _spread([one.cmc1 for one in some]),
            _spread([100 * one.parameters_saved for one in some], 1),
            _spread([100 * one.macs_saved for one in some], 1),
            str(len(some)),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if not runs:
        return "no run has finished"
    teachers = {one.seed: one.teacher_map for one in runs}
    lines.append(f"| (teacher, dense) |{' |' * varied} {_spread([*teachers.values()])} | | | 0 | 0 | {len(teachers)} |")
    return "\n".join(lines)


def time_table(runs: list[Run], times: list[Timed], reference: str) -> str:
    """Markdown: times of networks, and mAP at the milliseconds of `reference`."""
    accuracy = {
        (name, at): mean(one.map for one in runs if (one.recipe, one.at) == (name, at))
        for name, at in {(one.recipe, one.at) for one in runs}
    }
    values = sorted({one.at for one in times if one.recipe == reference})
    took = {(one.recipe, one.at): one.p50_ms for one in times}
    equal = at_equal_time(accuracy, times, reference)
    heads = [head for at in values for head in (f"p50 ms, {at}", f"mAP % at {took[reference, at]:.3f} ms")]
    lines = [f"| recipe | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name in dict.fromkeys(one.recipe for one in times):
        cells = []
        for at in values:
            alone = took.get((name, at), took.get((name, "")))
            cells += [f"{alone:.3f}" if alone else "", f"{equal[name][at]:.2f}" if at in equal.get(name, {}) else ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(
    out: Path,
    recipes: dict[str, Recipe],
    runs: list[Run],
    failed: dict[str, str],
    device: str,
    parallel: int,
    times: dict[str, Any] | None = None,
    timed: str = "",
) -> None:
    """Write the results so far, as JSON and Markdown.

    Args:
        times: see `bench.speed.times_json`.
        timed: table of times.
    """
    shared = next(iter(recipes.values()))
    about = {
        "command": command(),
        "dataset": shared.dataset,
        "trained_on": device,
        "parallel": parallel,
        **machine(),
        "recipes": {name: recipe.model_dump(mode="json") for name, recipe in recipes.items()},
        "runs": [asdict(one) for one in runs],
        "failed": failed,
        **({"times": times} if times else {}),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out.with_name(f"{out.name}.json"), json.dumps(about, indent=2) + "\n")
    title = f"{shared.dataset}: {shared.network.architecture}, {shared.input.height}×{shared.input.width}"
    gpu = machine()["gpu"]
    where = f"{this_device().name}, {gpu['name'] if gpu and device == 'cuda' else device}"
    note = f"Mean ± standard deviation over seeds, {where}, torch {installed()['torch']}."
    write_text(
        out.with_name(f"{out.name}.md"),
        f"# {title}\n\n`{command()}`\n\n{note}\n\n{table(runs)}\n{timed and f'{chr(10)}{timed}{chr(10)}'}",
    )


def _varied(assignment: str) -> list[str]:
    """`key=a,b` as `key=a`, `key=b`; one empty text for an empty one."""
    key, equals, values = assignment.partition("=")
    return [f"{key}{equals}{value}" for value in values.split(",")]


def make_trials(options: argparse.Namespace) -> Iterator[Trial]:
    """All recipes at all varied values, and the small networks, with the first seed, then with the next.

    Raises:
        ZooError: a recipe is not in the catalogue, or an override does not fit.
    """
    catalogue = load_catalogue()
    shared = [f"dataset={options.dataset}"] if options.dataset else []
    for seed in range(options.seeds):
        for at in _varied(options.vary):
            for name in options.recipes:
                overrides = [*shared, *options.overrides, *([at] if at else []), f"seed={seed}"]
                recipe = catalogue.recipe(name, overrides)
                yield Trial(name, at, recipe, catalogue.datasets[recipe.dataset], options.data_root)
        for architecture in options.small:
            overrides = [*shared, *options.overrides, f"seed={seed}"]
            teacher = catalogue.recipe(SMALL, overrides).teacher_network.architecture
            overrides += [f"teacher.architecture={teacher}", f"network.architecture={architecture}"]
            recipe = catalogue.recipe(SMALL, overrides)
            yield Trial(architecture, "", recipe, catalogue.datasets[recipe.dataset], options.data_root)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or these arguments."""
    catalogue_names = sorted(name for name in load_catalogue().models if name.startswith("study-") and name != SMALL)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="data set in place of the recipes' own")
    parser.add_argument("--recipes", nargs="+", default=catalogue_names, help="names in the catalogue")
    parser.add_argument(
        "--small", nargs="+", default=[], metavar="NAME", help="networks of timm, with the same teacher"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--vary", default="", metavar="KEY=VALUE,…", help="all recipes at each of these values")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="number of concurrent trainings")
    parser.add_argument("--time", metavar="TARGET", help="time the first seed's networks there at the end")
    parser.add_argument("--out", type=Path, help="write NAME.json and NAME.md")
    options = parser.parse_args(arguments)
    if options.parallel < 1 or options.seeds < 1:
        parser.error("--parallel and --seeds must be at least 1")
    return options


def main() -> None:
    """Run the study, print a table, write it if requested."""
    progress = ConsoleProgress(Console(stderr=True))
    runs: list[Run] = []
    failed: dict[str, str] = {}
    recipes: dict[str, Recipe] = {}  # as first run
    try:
        options = read_options()
        device, trials = training_device(options.device), [*make_trials(options)]
        catalogue = load_catalogue()
        target = catalogue.targets[catalogue.target(options.time)] if options.time else None
        if options.parallel > 1:
            results = run_in_parallel(trials, device, options.parallel, progress)
        else:
            results = run_one_by_one(trials, device, progress)
        for trial, found in results:
            recipes.setdefault(trial.name, trial.recipe)
            if isinstance(found, Run):
                runs.append(found)
                progress.say(f"{trial.title}: mAP {found.map:.2f}, MACs saved {found.macs_saved:.1%}")
            else:
                failed[trial.title] = str(found)
                progress.say(f"{trial.title}: {found}")
            if options.out:
                write(options.out, recipes, runs, failed, device, options.parallel)
        timed = ""
        first = [one for one in trials if one.recipe.seed == 0 and one.title not in failed]
        if target and first:
            times, conditions = time_students(first, target, progress)
            timed = time_table(runs, times, options.recipes[0])
            if doubt := assess(conditions).why:
                timed += f"\n\nTimes are unreliable: {doubt}."
            if options.out:
                told = times_json(times, conditions, options.time)
                write(options.out, recipes, runs, failed, device, options.parallel, told, timed)
    except ZooError as error:
        sys.exit(f"Error: {error}")
    except click.UsageError as error:
        sys.exit(f"Error: {error.message}")
    if runs:
        print(table(runs), *([timed] if timed else []), sep="\n\n")
    if failed:
        sys.exit("\n".join(f"Error: {title}: {why}" for title, why in failed.items()))


if __name__ == "__main__":
    main()
