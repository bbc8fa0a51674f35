"""Ways to a small student against each other: same data, teacher, losses, schedule and budget, several seeds.

    python bench/study.py --data-root /data                                  Omniglot, all of the catalogue's study-…
    python bench/study.py --dataset hcmc --recipes study-cdd-rggr study-narrow --seeds 3 --out docs/results/study-hcmc
    python bench/study.py --set distill.epochs=6 --set input.height=64 --set input.width=64

Recipes are the catalogue's; `--dataset` and `--set` are laid on each of them. Stage results are kept in the store, as
those of any build: a study that was interrupted goes on, and recipes that train the same teacher train it once. Without
--out the table is only printed; with it, NAME.json holds every run and NAME.md the table.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console

from pipeline.build import run_plan, training_steps
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.errors import PipelineError
from pipeline.plan import make_plan
from pipeline.processes import Processes
from pipeline.recipe import Recipe
from pipeline.store import Store
from pipeline.work import read_json
from targets.device import this_device
from zoo.catalogue import load_catalogue
from zoo.cli.output import training_device
from zoo.cli.progress import ConsoleProgress
from zoo.errors import ZooError
from zoo.home import Home

STUDIED = ("teacher", "distill", "compact")  # what is compared ends in a small network; nothing is compiled
LIBRARIES = ("torch", "timm", "torch-pruning", "accelerate")


@dataclass(frozen=True)
class Run:
    """One recipe at one seed. Accuracy in per cent, cost as shares of the dense student's that are gone."""

    recipe: str
    seed: int
    teacher_map: float
    map: float
    cmc1: float
    parameters_saved: float
    macs_saved: float


def run(recipe: Recipe, name: str, dataset: Dataset, data_root: Path, device: str, progress: ConsoleProgress) -> Run:
    """Build a recipe as far as its small network.

    Raises:
        PipelineError: a stage failed.
    """
    home = Home.find()
    store = Store(home.store)
    data = open_dataset(recipe.dataset, dataset, data_root, home.data, progress.say)
    steps = [step for step in training_steps(recipe, data) if step.stage in STUDIED]
    folders = run_plan(make_plan(steps, store, {}), store, Processes(device), progress)
    cost = read_json(folders["compact"] / "compression.json")
    accuracy = read_json(folders["compact"] / "accuracy.json")
    before, after = cost["before"], cost["after"]
    return Run(
        recipe=name,
        seed=recipe.seed,
        teacher_map=read_json(folders["teacher"] / "accuracy.json")["map"],
        map=accuracy["map"],
        cmc1=accuracy["cmc1"],
        parameters_saved=1 - after["parameters"] / before["parameters"],
        macs_saved=1 - after["macs"] / before["macs"],
    )


def _spread(values: list[float], digits: int = 2) -> str:
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def table(runs: list[Run]) -> str:
    """Markdown: mean ± standard deviation over seeds, the most accurate first."""
    by_recipe: dict[str, list[Run]] = {}
    for one in runs:
        by_recipe.setdefault(one.recipe, []).append(one)
    ordered = sorted(by_recipe.items(), key=lambda item: -mean(one.map for one in item[1]))
    lines = [
        "| recipe | mAP % | against the teacher | R1 % | parameters saved % | MACs saved % | seeds |",
        "|---" * 7 + "|",
    ]
    for name, some in ordered:
        cells = [
            _spread([one.map for one in some]),
            _spread([one.map - one.teacher_map for one in some]),
            _spread([one.cmc1 for one in some]),
            _spread([100 * one.parameters_saved for one in some], 1),
            _spread([100 * one.macs_saved for one in some], 1),
            str(len(some)),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    teachers = {one.seed: one.teacher_map for one in runs}
    lines.append(f"| (teacher, dense) | {_spread([*teachers.values()])} | | | 0 | 0 | {len(teachers)} |")
    return "\n".join(lines)


def write(out: Path, recipes: dict[str, Recipe], runs: list[Run], device: str) -> None:
    """The study so far, as JSON and Markdown."""
    shared = next(iter(recipes.values()))
    about = {
        "command": shlex.join(["python", "bench/study.py", *sys.argv[1:]]),
        "dataset": shared.dataset,
        "device": asdict(this_device()),
        "trained_on": device,
        "libraries": {name: version(name) for name in LIBRARIES},
        "recipes": {name: recipe.model_dump(mode="json") for name, recipe in recipes.items()},
        "runs": [asdict(one) for one in runs],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_name(f"{out.name}.json").write_text(json.dumps(about, indent=2) + "\n")
    title = f"{shared.dataset}: {shared.network.architecture}, {shared.input.height}×{shared.input.width}"
    note = f"Mean ± standard deviation over seeds, {this_device().name}, {device}, torch {version('torch')}."
    out.with_name(f"{out.name}.md").write_text(f"# {title}\n\n`{about['command']}`\n\n{note}\n\n{table(runs)}\n")


def main() -> None:
    """Run what is asked for, print a table, write it if asked."""
    catalogue_names = sorted(name for name in load_catalogue().models if name.startswith("study-"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="instead of the recipes' own")
    parser.add_argument("--recipes", nargs="+", default=catalogue_names, help="names in the catalogue")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--out", type=Path, help="write NAME.json and NAME.md")
    options = parser.parse_args()
    progress = ConsoleProgress(Console(stderr=True))
    runs: list[Run] = []
    recipes: dict[str, Recipe] = {}  # as they were run first
    try:
        catalogue, device = load_catalogue(), training_device(options.device)
        shared = [f"dataset={options.dataset}"] if options.dataset else []
        for seed in range(options.seeds):
            for name in options.recipes:
                recipe = catalogue.recipe(name, [*shared, *options.overrides, f"seed={seed}"])
                data = catalogue.datasets[recipe.dataset]
                progress.say(f"{name}, seed {seed}")
                runs.append(run(recipe, name, data, options.data_root, device, progress))
                progress.say(f"{name}, seed {seed}: mAP {runs[-1].map:.2f}, MACs saved {runs[-1].macs_saved:.1%}")
                recipes.setdefault(name, recipe)
                if options.out:
                    write(options.out, recipes, runs, device)
    except (PipelineError, ZooError) as error:
        sys.exit(f"Error: {error}")
    print(table(runs))


if __name__ == "__main__":
    main()
