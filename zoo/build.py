"""What `zoo build` does: catalogue → plan → results → release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.build import check_student, help_train, run_plan, training_steps
from pipeline.data.dataset import open_dataset
from pipeline.data.samples import Index
from pipeline.deployment import check_calibration, check_targets, target_steps
from pipeline.errors import LaunchError, MissingLibrary
from pipeline.files import write_text
from pipeline.plan import Planned, make_plan
from pipeline.processes import Processes
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.step import Step
from pipeline.store import Store, explain
from targets.errors import TargetError
from zoo.catalogue import Catalogue
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.record import publish, record_step
from zoo.releases import find_release


@dataclass(frozen=True)
class Build:
    """A model's build, ready to run."""

    name: str
    recipe: Recipe
    data: Index
    home: Home
    store: Store
    plan: list[Planned]

    @property
    def memory(self) -> Path:
        """What the latest build was made from."""
        return self.home.builds / f"{self.name}.json"


def _remembered(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it only serves to say what changed
    return content if isinstance(content, dict) else {}


def _measured_before(
    catalogue: Catalogue, recipe: Recipe, data: Index, store: Store, asked: Sequence[str], trained: list[Step]
) -> Iterable[str]:
    """Other targets on which this very model was measured already: they stay in the record."""
    for name, target in catalogue.targets.items():
        if name in asked:
            continue
        try:
            plan = make_plan([*trained, *target_steps(recipe, data, name, target)], store, {})
        except (TargetError, MissingLibrary):
            continue
        if all(planned.hit for planned in plan):
            yield name


def prepare(
    catalogue: Catalogue,
    home: Home,
    name: str,
    targets: Sequence[str],
    overrides: Sequence[str],
    data_root: Path,
    progress: Progress,
) -> Build:
    """Settle what is to be built and what of it stands.

    Args:
        targets: names of targets; none means those of the recipe.
        overrides: `key.path=value`, laid on the recipe.

    Raises:
        CatalogueError, DataError, StoreError, UnknownRuntime, MissingLibrary: see there.
    """
    recipe = catalogue.recipe(name, overrides)
    asked = tuple(dict.fromkeys(targets or recipe.targets))
    settings = {target: catalogue.target(target) for target in asked}
    store = Store(home.store)
    try:
        data = open_dataset(recipe.dataset, catalogue.datasets[recipe.dataset], data_root, home.data, progress.say)
    except OSError as error:
        raise explain(error, home.root) from None
    trained = list(training_steps(recipe, data))
    settings |= {t: catalogue.targets[t] for t in _measured_before(catalogue, recipe, data, store, asked, trained)}
    deployed = (step for target, spec in settings.items() for step in target_steps(recipe, data, target, spec))
    steps = list({step.name: step for step in (*trained, *deployed)}.values())  # targets share graphs
    build = Build(name, recipe, data, home, store, [])
    last = _remembered(build.memory)
    plan = make_plan([*steps, record_step(name, recipe, data, steps, tuple(settings), tuple(overrides))], store, last)
    return Build(name, recipe, data, home, store, plan)


def _check_agreement(build: Build, processes: Processes) -> None:
    keys = [planned.key for planned in build.plan if planned.step.trains and not planned.hit]
    if not processes.agree(json.dumps(keys)):
        raise LaunchError(
            "the processes would not train the same: they see other data, settings or library versions. Give all "
            "machines the same command, data set, ZOO_HOME and environment."
        )


def help_run(build: Build, processes: Processes, progress: Progress) -> None:
    """What processes other than the main one do of `run`: train with it.

    Raises:
        PipelineError: see `run`.
    """
    _check_agreement(build, processes)
    help_train(build.plan, build.store, processes, progress)


def run(build: Build, processes: Processes, progress: Progress) -> Path:
    """Run a prepared build; the path of its manifest.

    Raises:
        PipelineError, TargetError: a stage failed; what earlier stages made stands.
    """
    check_targets(build.plan)
    check_calibration(build.plan, build.recipe, build.data)
    check_student(build.plan, build.recipe)
    _check_agreement(build, processes)
    run_plan(build.plan, build.store, processes, progress)
    release = f"{build.name}@{build.recipe.version}"
    with suppress(ManifestError):  # there is none yet, or it is damaged and this build mends it
        if find_release(build.home, release)[1].recipe != build.recipe.model_dump(mode="json"):
            progress.say(f"{release} was built from another recipe before; the name leads to this build from now on")
    path = publish(build.store, build.plan[-1].key, build.home.releases, build.name, build.recipe.version)
    memory = json.dumps({planned.step.name: planned.ingredients for planned in build.plan})
    if not build.memory.exists() or build.memory.read_text(encoding="utf-8") != memory:
        try:
            build.memory.parent.mkdir(parents=True, exist_ok=True)
            write_text(build.memory, memory)
        except OSError as error:
            raise explain(error, build.home.root) from None
    return path
