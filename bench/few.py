"""What few images of one's own give: a release as it is, fine-tuned, and the same network from other starts.

    python -m bench.few resnet18-hcmc@^1 --dataset depot --data-root /data
    python -m bench.few resnet18-hcmc@^1 --dataset depot --weights resnet18.safetensors --lr 0.01 0.03

Each seed draws other identities of the training split, and other images of them. All starts see the same ones, and have
the schedule of `_few` in the catalogue (--set changes it). The release's network keeps its widths; ImageNet weights and
random ones start the dense network of that architecture. mAP is that of the test split, which no run trains on; the
gate's identities are held out of the drawn ones, as in a build. With several learning rates, all are in the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

from bench.figures import write_figures
from pipeline.data.dataset import open_dataset
from pipeline.data.gate import hold_out
from pipeline.data.samples import Index
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work, read_json
from pipeline.errors import DataError
from pipeline.networks.serialization import load_network
from pipeline.progress import Progress, Silent
from pipeline.recipe import Recipe
from pipeline.retrieval.evaluate import evaluate_network
from pipeline.stages.distill import distill_student
from pipeline.stages.teacher import train_teacher
from targets.errors import ZooError
from zoo.building.parent import Parent, check_parent, find_parent
from zoo.catalogue import load_catalogue
from zoo.cli.progress import ConsoleProgress
from zoo.home import Home

NAME = "few"
ZERO, RELEASE, IMAGENET, SCRATCH = "release, not trained", "release", "pretrained weights", "random weights"


@dataclass(frozen=True)
class Run:
    """mAP in per cent on the test split: of the fine-tuned network, and of the student that it taught.

    `macs` are those of an image.
    """

    start: str
    lr: float | None
    seed: int
    map: float
    student_map: float | None
    macs: int | None


def draw_few(data: Index, identities: int, images: int, seed: int) -> Index:
    """A data set with this many training identities and images of each, of different cameras as far as there are.

    Raises:
        DataError: too few identities have so many images.
    """
    train, random = data.train, np.random.default_rng(seed)
    names, counts = np.unique(train.identities, return_counts=True)
    eligible = names[counts >= images]
    if len(eligible) < identities:
        raise DataError(
            f"{len(eligible)} training identities have {images} images or more, and {identities} are asked for. Lower "
            "--identities or --images."
        )
    chosen = []
    for identity in random.permutation(eligible)[:identities]:
        order = random.permutation(np.flatnonzero(train.identities == identity))
        first = np.sort(np.unique(train.cameras[order], return_index=True)[1])  # one image of each camera
        chosen += [*order[first], *np.delete(order, first)][:images]
    return replace(data, train=train.subset(np.sort(np.array(chosen))))


def other_start(recipe: Recipe, weights: Path | None) -> Recipe:
    """The recipe from pretrained weights, or from random ones."""
    teacher = recipe.teacher.model_copy(update={"pretrained": False, "weights": weights})
    return recipe.model_copy(update={"parent": None, "teacher": teacher})


def train(recipe: Recipe, data: Index, parent: Parent | None, students: bool) -> tuple[float, float | None, int]:
    """mAP after fine-tuning, that of the student, and MACs of the fine-tuned network."""
    common = {"data": data, "seed": recipe.seed, "input": recipe.input, "sampling": recipe.sampling}
    layers = parent.network.layers if parent else None
    with TemporaryDirectory() as scratch:
        works = []
        for stage in ("teacher", "distill"):
            work = Work(Path(scratch) / stage, Path(scratch) / f"{stage}-scratch", Processes("cpu"), Silent())
            for folder in (work.out, work.scratch):
                folder.mkdir()
            works.append(work)
        train_teacher(
            works[0],
            **common,  # type: ignore[arg-type]
            network=recipe.teacher_network,
            settings=recipe.teacher,
            weights=parent.network.weights if parent else recipe.teacher.weights,
            layers=layers,
        )
        if students:
            distill_student(
                works[1],
                **common,  # type: ignore[arg-type]
                network=recipe.network,
                settings=recipe.distill,
                weights=None,
                teacher=works[0].out,
                layers=layers,
            )
        known = read_json(works[0].out / "accuracy.json")["map"]
        taught = read_json(works[1].out / "accuracy.json")["map"] if students else None
        return known, taught, read_json(works[0].out / "cost.json")["macs"]


def runs(options: argparse.Namespace, progress: Progress) -> Iterator[Run]:
    """All starts with the first seed, then with the next.

    Raises:
        ZooError: the release, the data set or a setting is not as it should be.
    """
    catalogue, home = load_catalogue(), Home.find()
    parent = find_parent(catalogue, home, options.release, progress)
    settings = ["base=_few", f"from={options.release}", f"dataset={options.dataset}", *options.overrides]
    recipe = catalogue.recipe(NAME, settings, parent.inherited)
    check_parent(parent, NAME, recipe)
    dataset = catalogue.datasets[recipe.dataset]
    opened = open_dataset(recipe.dataset, dataset, options.data_root, home.data, progress.say)
    known = load_network(parent.network.weights.parent)
    zero = evaluate_network(known, opened.query, opened.gallery, recipe.input, "cpu")
    yield Run(ZERO, None, 0, zero.map, None, parent.release.manifest.cost.macs)
    starts: dict[str, tuple[Recipe, Parent | None]] = {
        RELEASE: (recipe, parent),
        **({IMAGENET: (other_start(recipe, options.weights), None)} if options.weights else {}),
        SCRATCH: (other_start(recipe, None), None),
    }
    starts = {name: start for name, start in starts.items() if name in (options.starts or starts)}
    for seed in range(options.seeds):
        data = draw_few(opened, options.identities, options.images, seed)
        data = hold_out(data, recipe.gate, recipe.sampling.identities)
        for start, (own, release) in starts.items():
            for lr in options.lr or [own.teacher.lr]:
                changed = {
                    "seed": seed,
                    "teacher": own.teacher.model_copy(update={"lr": lr}),
                    "distill": own.distill.model_copy(update={"lr": lr}),
                }
                run = Run(start, lr, seed, *train(own.model_copy(update=changed), data, release, options.students))
                progress.say(f"{start}, lr {lr:g}, seed {seed}: mAP {run.map:.2f}")
                yield run


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def table(found: Sequence[Run]) -> str:
    """Markdown: mean ± standard deviation over seeds."""
    lines = ["| start | learning rate | mAP % | of its student | MACs M | seeds |", "|:--|--:|--:|--:|--:|--:|"]
    for start, lr in dict.fromkeys((run.start, run.lr) for run in found):
        some = [run for run in found if (run.start, run.lr) == (start, lr)]
        taught = [run.student_map for run in some if run.student_map is not None]
        cells = [
            "" if lr is None else f"{lr:g}",
            _spread([run.map for run in some]),
            _spread(taught) if taught else "",
            f"{(some[0].macs or 0) / 1e6:.1f}",
            "" if lr is None else str(len(some)),
        ]
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or these arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", help="NAME, NAME@VERSION or NAME@^RANGE")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--identities", type=int, default=20)
    parser.add_argument("--images", type=int, default=4, help="of each identity")
    parser.add_argument("--seeds", type=int, default=3, help="number of draws, from 0")
    parser.add_argument("--weights", type=Path, help="safetensors of the architecture, for comparison")
    parser.add_argument("--starts", nargs="+", choices=(RELEASE, IMAGENET, SCRATCH), help="only these")
    parser.add_argument("--lr", type=float, nargs="+", help="learning rates in place of the recipe's")
    parser.add_argument("--students", action="store_true", help="also train the student that the network teaches")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(arguments)


def main() -> None:
    """Train, print the table, write it if requested."""
    options, found = read_options(), list[Run]()
    try:
        for run in runs(options, ConsoleProgress(Console(stderr=True))):
            found.append(run)
            write_figures(options, {"runs": [asdict(one) for one in found]})
    except ZooError as error:
        sys.exit(f"Error: {error}")
    print(table(found))


if __name__ == "__main__":
    main()
