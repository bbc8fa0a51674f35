"""Steps of targets, with those for which the same model was built before and results that were copied from devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.data.samples import Index
from pipeline.engine.plan import LastBuild, Planned, make_plan
from pipeline.engine.step import Step, StepId
from pipeline.engine.store import Store
from pipeline.errors import MissingLibrary
from pipeline.foreign_recipe import ForeignRecipe
from pipeline.planning.deployment import TargetPlan
from pipeline.recipe import Recipe
from pipeline.stages.bundle import bundle_file
from targets.bundles.archive import read_list
from targets.bundles.contents import BUNDLE_LIST, RESULT_LIST
from targets.errors import TargetError
from targets.settings import TargetSettings
from zoo.building.received import received
from zoo.home import Home


def unique(steps: Iterable[Step]) -> list[Step]:
    """Each step once: targets share graphs."""
    return list({step.id: step for step in steps}.values())


@dataclass(frozen=True)
class Deployment:
    """Inputs of a target's steps."""

    name: str
    recipe: Recipe | ForeignRecipe
    data: Index
    home: Home
    store: Store
    trained: list[Step]
    say: Callable[[str], None]

    def steps(self, target: str, settings: TargetSettings, measured: bool = False) -> list[Step]:
        """Steps of a target. A result that was copied from a device counts if it is of this exact bundle."""
        release = f"{self.name}@{self.recipe.version}"
        result = received(self.home, release, target)
        plan = TargetPlan(self.recipe, self.data, release, target, settings)
        if result.exists():
            steps = list(plan.steps(result, measured))
            if self._is_of(result, target, steps):
                return steps
            self.say(f"{result.name} belongs to another build of {release} and is ignored")
        return list(plan.steps(None, measured))

    def all_steps(
        self, asked: Mapping[str, TargetSettings], known: Mapping[str, TargetSettings], last: LastBuild
    ) -> tuple[dict[str, TargetSettings], list[Step]]:
        """The targets of the record, and all steps up to it: those asked for, and those built before.

        Args:
            known: the catalogue's targets.
            last: ingredients of the latest build.
        """
        settings = dict(asked)
        deployed = [step for target, spec in asked.items() for step in self.steps(target, spec)]
        for target in self.built_before(known, last):
            if target not in settings:
                settings[target] = known[target]
                deployed += self.again(target, settings[target], last)
        return settings, unique((*self.trained, *deployed))

    def plan(self, steps: Iterable[Step]) -> list[Planned]:
        return make_plan(unique((*self.trained, *steps)), self.store, {})

    def _is_of(self, result: Path, target: str, steps: list[Step]) -> bool:
        for planned in self.plan(steps):
            if planned.step.id == StepId("bundle", target=target) and planned.hit:
                archive = bundle_file(self.store.folder("bundle", planned.key))
                return bool(read_list(archive, BUNDLE_LIST)["key"] == read_list(result, RESULT_LIST).get("bundle"))
        return False

    def built_before(self, targets: Mapping[str, TargetSettings], last: LastBuild) -> Iterator[str]:
        """Targets for which this exact model was built before: they stay in the record."""
        ends = {str(StepId(stage, target=name)): name for stage in ("measure", "device", "bundle") for name in targets}
        for name in dict.fromkeys(ends[step] for step in last if step in ends):
            try:
                if all(p.hit for p in self.plan(self.again(name, targets[name], last))):
                    yield name
            except (TargetError, MissingLibrary):
                continue

    def again(self, target: str, settings: TargetSettings, last: LastBuild) -> list[Step]:
        """Steps of a target as it was built before, with measured figures if its device has run, wherever that was."""
        device = last.get(str(StepId("device", target=target)))
        host = device and device["settings"].get("host")
        return self.steps(target, replace(settings, host=host or settings.host), measured=device is not None)
