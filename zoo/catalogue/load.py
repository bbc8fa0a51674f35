"""Reads, layers, inherits and validates catalogues."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.data.dataset import Dataset
from pipeline.recipe import Recipe
from targets.settings import TargetSettings
from zoo.catalogue.derived import FROM, Inherited, empty, on_top, own_base, with_bases, with_method
from zoo.catalogue.names import wrong_name, wrong_target
from zoo.catalogue.problems import did_you_mean, none_named, problems
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.catalogue.source import Source, merge, override, read_source
from zoo.catalogue.student import has_weights, student_of, with_student
from zoo.errors import CatalogueError
from zoo.home import shipped_catalogue, user_catalogue

SECTIONS = ("datasets", "targets", "models")
SINGLE = ("default", "registry")
STUDY = "study-"  # models that are compared with each other; lists leave them out
CATALOGUE = " in the catalogue"
Model = TypeVar("Model")


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
        if wrong := _unknown_dataset(source.data.get("dataset"), source, f"models.{name}", self._named("datasets")):
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
            recipe = _validated(Recipe, source, at, found)
            if recipe:
                found += _unknown_names(recipe, source, at, self._named("datasets"), self._named("targets"))
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


def _validated(model: type[Model], source: Source, at: str, found: list[str], incomplete: bool = False) -> Model | None:
    try:
        return TypeAdapter(model).validate_python(source.data)
    except ValidationError as error:
        found += problems(error, model, source, at, incomplete)
        return None


def _unknown_dataset(name: object, source: Source, at: str, datasets: Collection[str]) -> list[str]:
    if not isinstance(name, str) or name in datasets:  # anything else is refused with the whole recipe
        return []
    return [f"{source.origin(('dataset',))}: {at}.dataset: {none_named('data set', name, datasets)}"]


def _unknown_names(
    recipe: Recipe, source: Source, at: str, datasets: Collection[str], targets: Collection[str]
) -> list[str]:
    found = _unknown_dataset(recipe.dataset, source, at, datasets)
    for index, name in enumerate(recipe.targets):
        if name not in targets:
            found.append(f"{source.origin(('targets', index))}: {at}.targets: {none_named('target', name, targets)}")
    compress = recipe.distill.compress
    if compress and compress.target and compress.target not in targets:
        place = ("distill", "compress", "target")
        why = none_named("target", compress.target, targets)
        found.append(f"{source.origin(place)}: {at}.{'.'.join(place)}: {why}")
    return found


def _shown(path: Path) -> str:
    """The shortest form of a path from the current folder."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the current folder was removed
        return str(path)
    return str(path) if relative.startswith("..") else relative


def _layered(own: Path | None) -> Source:
    shipped = shipped_catalogue()
    source = read_source(shipped, _shown(shipped))
    if own is None or (own.exists() and own.samefile(shipped)):
        return source
    over = read_source(own, _shown(own))
    for layer in (source, over):
        if not isinstance(layer.data, dict):
            raise CatalogueError(f"{layer.origin(())}: a catalogue is a mapping with {', '.join(SECTIONS)}.")
    data, origins = dict(source.data), dict(source.origins)
    for section, content in over.data.items():  # an entry replaces its namesake; use `base:` to change a part
        names = list(content) if section in SECTIONS and isinstance(content, dict) else None
        replaced = [(section, name) for name in names] if names is not None else [(section,)]
        origins = {p: o for p, o in origins.items() if not any(p[: len(r)] == r for r in replaced)}
        data[section] = {**data.get(section, {}), **content} if names is not None else content
    origins |= {path: origin for path, origin in over.origins.items() if path}
    return Source(data, origins)


def load_catalogue() -> Catalogue:
    """The shipped catalogue, extended by the user's (`zoo.home.user_catalogue`).

    A faulty entry does not prevent the use of others.

    Raises:
        CatalogueError: it can't be read at all; with every problem found, one line each.
    """
    return read_catalogue(user_catalogue())


def read_catalogue(own: Path | None) -> Catalogue:
    """The shipped catalogue, extended by another, if there is one.

    Raises:
        CatalogueError: with every problem found, one line each.
    """
    source = _layered(own)
    found = [
        f"{source.origin((key,))}: {key}: unknown key. {did_you_mean(key, (*SECTIONS, *SINGLE))}"
        for key in source.data
        if key not in (*SECTIONS, *SINGLE)
    ]
    for section in SECTIONS:
        if not isinstance(source.data.get(section), dict):
            raise CatalogueError(f"{source.origin((section,))}: {section}: should be a mapping from names.")

    faulty: dict[str, list[str]] = {}
    targets_at = _entries(source, "targets")
    datasets = _sound("datasets", Dataset, _entries(source, "datasets"), wrong_name, faulty)
    targets = _sound("targets", TargetSettings, targets_at, lambda name: _wrong_target(name, targets_at), faulty)
    aliases = _aliases(source, faulty)
    entries = source.at("models")
    sources = _models(entries, faulty)
    starting = _starting(sources, entries, faulty)
    complete = _with_students({name: part for name, part in sources.items() if name not in starting}, faulty)
    recipes = _sound("models", Recipe, complete, wrong_name, faulty)
    names = (source.data["datasets"], source.data["targets"])
    for name, recipe in recipes.items():
        _note(faulty, f"models.{name}", _unknown_names(recipe, sources[name], f"models.{name}", *names))
    recipes = {name: recipe for name, recipe in recipes.items() if f"models.{name}" not in faulty}
    default = str(source.data.get("default"))
    if default not in recipes and f"models.{default}" not in faulty:
        found.append(f"{source.origin(('default',))}: default: {none_named('model', default, recipes)}")
    named = "registry" in source.data
    registry = _validated(RegistrySettings, source.at("registry"), "registry", found) if named else RegistrySettings()
    if found or registry is None:
        raise CatalogueError("\n".join(dict.fromkeys(found)))
    starting = {name: release for name, release in starting.items() if f"models.{name}" not in faulty}
    return Catalogue(default, datasets, targets, aliases, recipes, starting, sources, entries, registry, faulty)


def _note(faulty: dict[str, list[str]], at: str, lines: Collection[str]) -> None:
    if lines:
        faulty[at] = [*dict.fromkeys((*faulty.get(at, ()), *lines))]


def _wrong_target(name: str, targets: Collection[str]) -> str:
    """See `wrong_target`; of two targets that can't be distinguished, the first one is kept."""
    return wrong_target(name, [*takewhile(lambda other: other != name, targets)])


def _entries(source: Source, section: str) -> dict[str, Source]:
    return {
        name: source.at(section, name)
        for name, content in source.data[section].items()
        if section != "targets" or not isinstance(content, str)
    }


def _sound(
    section: str,
    model: type[Model],
    entries: Mapping[str, Source],
    wrong: Callable[[str], str],
    faulty: dict[str, list[str]],
) -> dict[str, Model]:
    """Valid entries of a section; the errors of others are added to `faulty`."""
    found: dict[str, Model] = {}
    for name, part in entries.items():
        at, lines = f"{section}.{name}", list[str]()
        if why := wrong(name):
            lines.append(f"{part.origin(())}: {at}: {why}")
        valid = _validated(model, part, at, lines)
        _note(faulty, at, lines)
        if valid is not None and not lines:
            found[name] = valid
    return found


def _models(models: Source, faulty: dict[str, list[str]]) -> dict[str, Source]:
    """Models with their bases merged in; one without its base is faulty."""
    found = {}
    for name in models.data:
        if name.startswith("_"):
            continue
        try:
            found[name] = with_bases(name, models)
        except CatalogueError as error:
            _note(faulty, f"models.{name}", [str(error)])
    return found


def _with_students(models: Mapping[str, Source], faulty: dict[str, list[str]]) -> dict[str, Source]:
    """Models with the settings that `student` stands for; one with a wrong `student` is faulty."""
    found = {}
    for name, part in models.items():
        try:
            found[name] = with_student(part)
        except CatalogueError as error:
            _note(faulty, f"models.{name}", [str(error)])
    return found


def _starting(models: Mapping[str, Source], entries: Source, faulty: dict[str, list[str]]) -> dict[str, str]:
    """The releases that models start from. What such a model sets is checked now, and the rest when it is built."""
    found = {}
    for name, part in models.items():
        if not isinstance(part.data, dict) or part.data.get(FROM) is None:
            continue
        found[name] = str(part.data[FROM])
        at, lines = f"models.{name}", list[str]()
        if why := wrong_name(name):
            lines.append(f"{part.origin(())}: {at}: {why}")
        own = with_method(merge(with_bases("_from", entries), part))
        (own,) = _with_students({name: own}, faulty).values() or (empty(FROM),)
        _validated(Recipe, own, at, lines, incomplete=True)
        _note(faulty, at, lines)
    return found


def _aliases(source: Source, faulty: dict[str, list[str]]) -> dict[str, str]:
    targets = source.data["targets"]
    aliases = {name: to for name, to in targets.items() if isinstance(to, str)}
    for name, to in aliases.items():
        at, place = f"targets.{name}", source.origin(("targets", name))
        if to not in targets or to in aliases:
            hint = did_you_mean(to, {*targets} - {*aliases})
            _note(faulty, at, [f"{place}: {at}: is an alias of the unknown target {to!r}. {hint}"])
        if why := wrong_name(name):
            _note(faulty, at, [f"{place}: {at}: {why}"])
    return {name: to for name, to in aliases.items() if f"targets.{name}" not in faulty}
