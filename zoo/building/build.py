"""`zoo build`: catalogue → plan → results → release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data.dataset import open_dataset
from pipeline.data.gate import Gate, hold_out
from pipeline.data.samples import Index
from pipeline.engine.claims import claimed
from pipeline.engine.plan import LastBuild, Planned, make_plan
from pipeline.engine.processes import Processes
from pipeline.engine.run import help_train, run_plan
from pipeline.engine.step import Step
from pipeline.engine.store import Store, explain
from pipeline.errors import DataError, LaunchError, NeedsDevice
from pipeline.files import place_file, write_text
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.method.compress import Compress
from pipeline.networks.released import Released
from pipeline.planning.deployment import check_calibration, check_targets
from pipeline.planning.foreign import check_graph
from pipeline.planning.latency import check_latency, latency_steps
from pipeline.planning.training import check_sampling, check_student, check_weights, fetch_weights, training_steps
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.stages.bundle import bundle_file
from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST
from targets.settings import TargetSettings
from zoo.building.deployment import Deployment
from zoo.building.name import check_content, check_name
from zoo.building.parent import Parent, check_parent, find_parent, pinned
from zoo.building.received import continued_by, received
from zoo.building.record import publish, record_step
from zoo.building.repeating import command_line
from zoo.catalogue import Catalogue
from zoo.catalogue.student import release_name
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.layout import MANIFEST
from zoo.release.ancestry import ancestor_lines
from zoo.release.local import find_release
from zoo.weights.places import weights_places


@dataclass(frozen=True)
class Latency:
    """Inputs of a budget that limits a figure of a target."""

    name: str
    target: TargetSettings
    steps: list[Step]


@dataclass(frozen=True)
class Build:
    """A model's build, ready to run.

    Attributes:
        targets: those of the record, by name.
        foreign: the file of a network that zoo did not train.
        command: that continues it once a device has measured what its budget needs; empty for a foreign network, which
            has no budget.
    """

    name: str
    recipe: Recipe | ForeignRecipe
    data: Index
    home: Home
    store: Store
    targets: Mapping[str, TargetSettings]
    plan: list[Planned]
    latency: Latency | None = None
    parent: Parent | None = None
    foreign: Path | None = None
    command: str = ""

    @property
    def compress(self) -> Compress | None:
        """The budget, if there is one."""
        return self.recipe.distill.compress if isinstance(self.recipe, Recipe) else None

    @property
    def memory(self) -> Path:
        """File with the inputs of the latest build."""
        return memory(self.home, self.name)


def memory(home: Home, name: str) -> Path:
    """File with the inputs of a model's latest build."""
    return home.builds / f"{name}.json"


def remembered(home: Home, name: str) -> LastBuild:
    """Inputs of a model's latest build; none if there was none."""
    try:
        content = json.loads(memory(home, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it only serves to report changes
    return content if isinstance(content, dict) else {}


def _latency(
    catalogue: Catalogue,
    home: Home,
    recipe: Recipe,
    built: str,
    settings: Mapping[str, TargetSettings],
    store: Store,
    progress: Progress,
    start: Released | None,
) -> Latency | None:
    """Steps before training, if the recipe's budget needs some. A result that was copied from a device counts if it is
    of this exact bundle.
    """
    compress = recipe.distill.compress
    if compress is None or compress.target is None:
        return None
    name = catalogue.target(compress.target)
    target = settings.get(name, catalogue.targets[name])
    release = f"{built}@{recipe.version}"
    result = received(home, release, name, widths=True)
    if result.exists():
        steps = list(latency_steps(recipe, release, name, target, result, start))
        bundled = [planned for planned in make_plan(steps, store, {}) if planned.step.stage == "latency_bundle"]
        if bundled and bundled[0].hit:
            archive = bundle_file(store.folder("latency_bundle", bundled[0].key))
            if read_list(archive, BUNDLE_LIST)["key"] == read_list(result, RESULT_LIST).get("bundle"):
                return Latency(name, target, steps)
        progress.say(f"{result.name} belongs to another bundle of {release} and is ignored")
    return Latency(name, target, list(latency_steps(recipe, release, name, target, start=start)))


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        name: of the model; the release has another one if an override names a student (`zoo.catalogue.student`).
        targets: names of targets; empty: those of the recipe.
        host: where they run, in place of the catalogue's host.
        overrides: `key.path=value`, applied to the recipe.
    """

    name: str
    targets: Sequence[str] = ()
    overrides: Sequence[str] = ()
    host: str | None = None


def asked_targets(catalogue: Catalogue, names: Iterable[str], host: str | None) -> dict[str, TargetSettings]:
    """Settings of targets by their own names.

    Args:
        host: where they run, in place of the catalogue's host.

    Raises:
        CatalogueError: unknown or faulty target.
    """
    found = {own: catalogue.targets[own] for own in map(catalogue.target, names)}
    return {name: replace(spec, host=host) for name, spec in found.items()} if host else found


def open_data(catalogue: Catalogue, home: Home, name: str, root: Path, progress: Progress) -> Index:
    """A data set of the catalogue.

    Raises:
        DataError, StoreError: it can't be read, or drawn.
    """
    try:
        return open_dataset(name, catalogue.datasets[name], root, home.data, progress.say)
    except OSError as error:
        raise explain(error, home.root) from None


def prepare(
    catalogue: Catalogue,
    home: Home,
    request: BuildRequest,
    data_root: Path,
    progress: Progress,
) -> Build:
    """Determine the steps of a build, and which results exist already.

    Raises:
        CatalogueError, DataError, WeightsError, StoreError, UnknownRuntime, MissingLibrary: see there.
        ManifestError, RegistryError: see `check_name`, `find_parent`, `check_parent`.
    """
    wanted = catalogue.parent(request.name, request.overrides)
    parent = find_parent(catalogue, home, wanted, progress) if wanted is not None else None
    recipe = catalogue.recipe(request.name, request.overrides, parent.inherited if parent else None)
    name = release_name(request.name, request.overrides)
    if parent:
        check_parent(parent, name, recipe)
    start = parent.network if parent else None
    settings = asked_targets(catalogue, request.targets or recipe.targets, request.host)
    check_name(home, name, recipe, settings)
    store = Store(home.store)
    data = open_data(catalogue, home, recipe.dataset, data_root, progress)
    try:
        data = hold_out(data, recipe.gate, recipe.sampling.identities)
    except DataError as error:
        few = " For few images, add --set base=_few." if parent and recipe.gate == Gate() else ""
        raise DataError(f"{error}{few}") from None
    latency = _latency(catalogue, home, recipe, name, settings, store, progress, start)
    places = weights_places(home, store.cache)
    trained = [*(latency.steps if latency else ()), *training_steps(recipe, data, places, start)]
    last = remembered(home, name)
    deployment = Deployment(name, recipe, data, home, store, trained, progress.say)
    settings, steps = deployment.all_steps(settings, catalogue.targets, last)
    runtimes = {target: spec.runtime for target, spec in settings.items()}
    data_license = catalogue.datasets[recipe.dataset].license
    ancestors = parent.ancestors if parent else ()
    overrides = tuple(pinned(request.overrides, parent))
    recorded = record_step(name, recipe, data, data_license, steps, runtimes, overrides, ancestors, model=request.name)
    plan = make_plan([*steps, recorded], store, last)
    command = command_line(("build", request.name), request.targets, overrides, request.host)
    return Build(name, recipe, data, home, store, settings, plan, latency, parent, command=command)


def place_bundles(build: Build) -> None:
    """Copy bundles to names that one can use; beside one of widths is the command that continues the build."""
    for planned in build.plan:
        stage = planned.step.stage
        if stage in ("bundle", "latency_bundle") and build.store.has(stage, planned.key):
            source = bundle_file(build.store.folder(stage, planned.key))
            build.home.bundles.mkdir(parents=True, exist_ok=True)
            place_file(source, build.home.bundles / source.name)
            if stage == "latency_bundle":
                write_text(continued_by(build.home.bundles / source.name), f"{build.command}\n")


def _place_bundles(build: Build) -> None:
    try:
        place_bundles(build)
    except OSError as error:
        raise explain(error, build.home.bundles) from None


def _check_agreement(build: Build, processes: Processes) -> None:
    keys = [planned.key for planned in build.plan if planned.step.trains and not planned.hit]
    if not processes.agree(json.dumps(keys)):
        raise LaunchError(
            "the processes would train differently: their data, settings or library versions differ. Give all "
            "machines the same command, data set, ZOO_HOME and environment."
        )


def check_recipe(build: Build) -> list[str]:
    """Check that a recipe can be built, without contacting any device; also for a plan.

    Returns:
        Lines to print before the build begins.

    Raises:
        PipelineError: too few identities or images, an unknown network, a budget that can't be met, and the like.
    """
    recipe, parent = build.recipe, build.parent
    check_calibration(build.plan, recipe, build.data)
    if isinstance(recipe, ForeignRecipe):
        if build.foreign:
            check_graph(build.plan, recipe, build.foreign)
        return []
    check_sampling(build.plan, recipe, build.data)
    told = ancestor_lines(parent.ancestors) if parent else []
    check_weights(build.plan, recipe)
    return [*told, *check_student(build.plan, recipe, parent.network if parent else None)]


def help_run(build: Build, processes: Processes, progress: Progress) -> None:
    """The part of `run` in processes other than the main one: training.

    Raises:
        PipelineError: see `run`.
    """
    _check_agreement(build, processes)
    help_train(build.plan, build.store, processes, progress)


def run(build: Build, processes: Processes, progress: Progress) -> Path:
    """Run a prepared build and return the path of its manifest.

    Raises:
        PipelineError, TargetError: a stage failed; results of earlier stages are kept.
        ManifestError: see `check_content`.
    """
    if build.latency and isinstance(build.recipe, Recipe):
        check_latency(build.plan, build.latency.target, build.recipe)
    check_targets(build.plan, build.targets)
    for line in check_recipe(build):
        progress.say(line)
    fetch_weights(build.plan)
    _check_agreement(build, processes)
    with claimed(build.store, build.plan):
        return _run(build, processes, progress)


def _run(build: Build, processes: Processes, progress: Progress) -> Path:
    try:
        run_plan(build.plan, build.store, processes, progress)
    except NeedsDevice:
        _place_bundles(build)
        raise
    release = f"{build.name}@{build.recipe.version}"
    recorded = build.store.folder("record", build.plan[-1].key) / MANIFEST
    if told := check_content(build.home, build.name, build.recipe.version, recorded):
        progress.say(told)
    with suppress(ManifestError):  # there is none yet, or it is damaged and this build replaces it
        if find_release(build.home, release).manifest.recipe != build.recipe.model_dump(mode="json"):
            progress.say(f"{release} was built from another recipe before; from now on the name means this build")
    path = publish(build.store, build.plan[-1].key, build.home.releases, build.name, build.recipe.version)
    _place_bundles(build)
    memory = json.dumps({str(planned.step.id): planned.ingredients for planned in build.plan})
    if not build.memory.exists() or build.memory.read_text(encoding="utf-8") != memory:
        try:
            build.memory.parent.mkdir(parents=True, exist_ok=True)
            write_text(build.memory, memory)
        except OSError as error:
            raise explain(error, build.home.root) from None
    return path
