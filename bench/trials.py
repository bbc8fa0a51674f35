"""Trainings of a study: one recipe at one seed each, one after another or several at a time.

Concurrent trainings on one GPU are separate processes: a small network at few pixels leaves most of a large GPU idle.
Trainings with the same teacher wait until one of them has trained it; the store keeps it for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.gate import hold_out
from pipeline.data.samples import Index
from pipeline.engine.claims import claimed
from pipeline.engine.plan import Planned, make_plan
from pipeline.engine.processes import Processes
from pipeline.engine.run import run_plan
from pipeline.engine.step import COMPACT, DISTILL, TEACHER
from pipeline.engine.store import Store, read_record
from pipeline.engine.work import read_json
from pipeline.errors import PipelineError
from pipeline.planning.training import training_steps
from pipeline.progress import Progress, Silent
from pipeline.recipe import Recipe
from zoo.home import Home
from zoo.weights.places import weights_places

STUDIED = ("teacher", "distill", "compact")  # the compared result is a small network; nothing is compiled
LOOK_SECONDS = 0.5  # between checks whether a teacher exists


_opened: dict[tuple[str, str, Path, Path], Index] = {}  # reading a data set takes seconds, once


@dataclass(frozen=True, eq=False)
class Trial:
    """A recipe of the catalogue with overrides. `at` is the varied override, such as `distill.epochs=6`."""

    name: str
    at: str
    recipe: Recipe
    dataset: Dataset
    data_root: Path

    @property
    def title(self) -> str:
        """The trial in words."""
        return f"{self.name}{self.at and f', {self.at}'}, seed {self.recipe.seed}"


@dataclass(frozen=True)
class Run:
    """The result of a trial. Accuracy in per cent, cost as the share of the teacher's that was removed.

    `seconds` are those of stage `distill`, whatever ran concurrently; `waiting` is the share of training spent waiting
    for images, None if nothing was trained because the results were in the store.
    """

    recipe: str
    at: str
    seed: int
    teacher_map: float
    map: float
    cmc1: float
    parameters_saved: float
    macs_saved: float
    seconds: float
    waiting: float | None


@dataclass
class _Waiting(Silent):
    """Records how long epochs waited for images, and passes messages on."""

    heard: Progress | None
    shares: list[float] = field(default_factory=list)

    def say(self, text: str, /) -> None:
        if self.heard:
            self.heard.say(text)

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        if "waiting" in figures:
            self.shares.append(figures["waiting"])
        if self.heard:
            self.heard.figures(title, figures)


def plan_trial(trial: Trial, progress: Progress) -> tuple[list[Planned], Store]:
    """The plan of a trial, and its store.

    Raises:
        PipelineError: its data can't be used.
    """
    home = Home.find()
    store = Store(home.store)
    recipe = trial.recipe
    where = (recipe.dataset, trial.dataset.model_dump_json(), trial.data_root, home.data)
    if where not in _opened:
        _opened[where] = open_dataset(recipe.dataset, trial.dataset, trial.data_root, home.data, progress.say)
    data = hold_out(_opened[where], recipe.gate, recipe.sampling.identities)
    steps = [step for step in training_steps(recipe, data, weights_places(home)) if step.stage in STUDIED]
    return make_plan(steps, store, {}), store


def run_trial(trial: Trial, device: str, beside: int = 1, progress: Progress | None = None) -> Run:
    """Build a recipe up to its small network.

    Args:
        beside: number of trials that share the machine; each uses its share of the cores to read images.

    Raises:
        PipelineError: a stage failed.
    """
    heard = _Waiting(progress)
    plan, store = plan_trial(trial, heard)
    with claimed(store, plan):
        folders = run_plan(plan, store, Processes(device, here=beside), heard)
    before = read_json(folders[TEACHER] / "cost.json")
    after = read_json(folders[COMPACT] / "compression.json")["after"]
    accuracy = read_json(folders[COMPACT] / "accuracy.json")
    return Run(
        recipe=trial.name,
        at=trial.at,
        seed=trial.recipe.seed,
        teacher_map=read_json(folders[TEACHER] / "accuracy.json")["map"],
        map=accuracy["map"],
        cmc1=accuracy["cmc1"],
        parameters_saved=1 - after["parameters"] / before["parameters"],
        macs_saved=1 - after["macs"] / before["macs"],
        seconds=read_record(folders[DISTILL])["seconds"],
        waiting=mean(heard.shares) if heard.shares else None,
    )


Result = tuple[Trial, Run | str]  # with its result, or the reason why there is none


def run_one_by_one(trials: Sequence[Trial], device: str, progress: Progress) -> Iterator[Result]:
    """Trials in order, each with its result."""
    for trial in trials:
        progress.say(trial.title)
        try:
            yield trial, run_trial(trial, device, progress=progress)
        except PipelineError as error:
            yield trial, str(error)


def _attempt(trial: Trial, device: str, beside: int) -> Run | str:
    """`run_trial` in a separate process, whose errors must not end the others."""
    try:
        return run_trial(trial, device, beside)
    except PipelineError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a bug, or a fault of the GPU: reported, and the rest continues
        return f"{type(error).__name__}: {error}"


def run_in_parallel(trials: Sequence[Trial], device: str, parallel: int, progress: Progress) -> Iterator[Result]:
    """Trials with their results, as they finish; up to `parallel` at a time, started in order."""
    teachers = {}
    for place, trial in enumerate(trials):  # planned here first, so that the data set is read once, and its digest kept
        try:
            plan, store = plan_trial(trial, progress)
        except PipelineError as error:
            yield trial, str(error)
        else:
            teachers[place] = next(planned.key for planned in plan if planned.step.id == TEACHER)
    waiting = {place: trials[place] for place in teachers}
    running: dict[Future[Run | str], int] = {}
    with ProcessPoolExecutor(parallel, mp_context=get_context("spawn")) as pool:
        while waiting or running:
            for place, trial in [*waiting.items()]:
                being_made = {teachers[other] for other in running.values()}
                ready = store.has("teacher", teachers[place]) or teachers[place] not in being_made
                if ready and len(running) < parallel:
                    progress.say(f"{trial.title}: begun")
                    running[pool.submit(_attempt, waiting.pop(place), device, parallel)] = place
            for future in wait(running, LOOK_SECONDS, FIRST_COMPLETED).done:
                yield trials[running.pop(future)], future.result()
