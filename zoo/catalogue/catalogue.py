"""A catalogue that was read: its data sets, targets and models, and the recipe of a model with overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data.dataset import Dataset
from pipeline.recipe import Recipe
from targets.settings import TargetSettings
from zoo.catalogue.derived import FROM, Inherited, empty, on_top, own_base, with_bases
from zoo.catalogue.names import wrong_name
from zoo.catalogue.problems import none_named
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.catalogue.source import Source, override
from zoo.catalogue.student import has_weights, student_of, with_student
from zoo.catalogue.validation import unknown_dataset, unknown_names, validated
from zoo.errors import CatalogueError

STUDY = "study-"  # models that are compared with each other; lists leave them out
CATALOGUE = " in the catalogue"


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be built, and for what.

    Attributes:
        aliases: other names of targets.
        models: complete recipes. Those that start from a release are in `starting`.
        starting: the release, as `from` names it, by model; its recipe completes theirs.
        sources: models of both with their bases merged in; overrides are applied to them.
        entries: the section `models` as it is written, with those that serve only as bases.
        faulty: errors by `models.NAME`, `datasets.NAME` or `targets.NAME`, line by line. A faulty entry is in no other
            attribute, and is reported when it is used.
    """

    default: str
    datasets: dict[str, Dataset]
    targets: dict[str, TargetSettings]
    aliases: dict[str, str]
    models: dict[str, Recipe]
    starting: dict[str, str]
    sources: dict[str, Source]
    entries: Source
    registry: RegistrySettings
    faulty: dict[str, list[str]]

    def buildable(self, studies: bool = True) -> dict[str, str]:
        """Description of every model, by name.

        Args:
            studies: also those of studies (`STUDY`), which lists leave out.
        """
        return {
            name: str(self.sources[name].data.get("description", "")) or f"starts from {self.starting[name]}"
            if name in self.starting
            else self.models[name].description
            for name in self.sources
            if (name in self.models or name in self.starting) and (studies or not name.startswith(STUDY))
        }

    def parent(self, name: str, overrides: Sequence[str] = ()) -> str | None:
        """The release that a model starts from, as its `from` or an override names it; None if there is none.

        Raises:
            CatalogueError: unknown or faulty model, an override that does not fit, or an unknown data set, which is
                reported before the release is pulled.
        """
        source = self._source(name, overrides)
        if source.data.get(FROM) is None:
            return None
        if wrong := unknown_dataset(source.data.get("dataset"), source, f"models.{name}", self._named("datasets")):
            raise CatalogueError("\n".join(wrong))
        return str(source.data[FROM])

    def recipe(self, name: str, overrides: Sequence[str] = (), inherited: Inherited | None = None) -> Recipe:
        """A model's recipe, with `key.path=value` overrides, and with explicit normalisation (`Recipe.settled`).

        Args:
            inherited: of the release that `parent` names, if it names one. Then the model need not be in the catalogue.

        Raises:
            CatalogueError: unknown or faulty model, or an override that does not fit.
            WeightsError: see `Recipe.settled`.
        """
        at, source = f"models.{name}", self._source(name, overrides)
        recipe = self.models.get(name)
        if inherited or overrides or recipe is None or student_of(source):
            if inherited:
                source = on_top(inherited, self._base("_from"), source)
            student, source = student_of(source), with_student(source)
            if student and source.data["distill"]["init"] == "pretrained" and not has_weights(student):
                source = override(source, "distill.init=random")
            found: list[str] = []
            recipe = validated(Recipe, source, at, found)
            if recipe:
                found += unknown_names(recipe, source, at, self._named("datasets"), self._named("targets"))
            if found or recipe is None:
                raise CatalogueError("\n".join(found))
        assert recipe is not None
        self._refuse_faulty(f"datasets.{recipe.dataset}")
        return recipe.settled()

    def _base(self, name: str) -> Source:
        return with_bases(name, self.entries)

    def _source(self, name: str, overrides: Sequence[str]) -> Source:
        """A model with its bases and overrides; for a name that is not in the catalogue, of overrides alone.

        Raises:
            CatalogueError: unknown or faulty model, or an override that does not fit.
        """
        self._refuse_faulty(f"models.{name}")
        base, others = own_base(overrides)
        starts = any(assignment.partition("=")[0].strip() == FROM for assignment in others)
        known = name in self.sources
        if not known and (not starts or name in self.entries.data):
            raise CatalogueError(none_named("model", name, self.buildable(), self.buildable(studies=False), CATALOGUE))
        if not known and (why := wrong_name(name)):
            raise CatalogueError(f"{name!r}: {why}")
        source = self.sources[name] if known else empty("the command")
        if base:
            own = override(self.entries.at(name) if known else empty("the command"), base)
            data = {**self.entries.data, name: own.data}
            origins = {path: origin for path, origin in self.entries.origins.items() if path[:1] != (name,)}
            source = with_bases(name, Source(data, origins | {(name, *path): o for path, o in own.origins.items()}))
        for assignment in others:
            source = override(source, assignment)
        return source

    def _refuse_faulty(self, at: str) -> None:
        if at in self.faulty:
            raise CatalogueError("\n".join(self.faulty[at]))

    def _named(self, section: str) -> set[str]:
        """Names that exist, faulty or not."""
        sound = {*self.datasets} if section == "datasets" else {*self.targets, *self.aliases}
        return {*sound, *(at.partition(".")[2] for at in self.faulty if at.startswith(f"{section}."))}

    def dataset(self, name: str) -> Dataset:
        """A data set.

        Raises:
            CatalogueError: unknown or faulty data set.
        """
        self._refuse_faulty(f"datasets.{name}")
        if name not in self.datasets:
            raise CatalogueError(none_named("data set", name, self.datasets, where=CATALOGUE))
        return self.datasets[name]

    def target(self, name: str) -> str:
        """The own name of a target, given its name or an alias.

        Raises:
            CatalogueError: unknown or faulty target.
        """
        own = self.aliases.get(name, name)
        self._refuse_faulty(f"targets.{own}")
        if own not in self.targets:
            known = {*self.targets, *self.aliases}
            raise CatalogueError(none_named("target", name, known, where=CATALOGUE))
        return own
