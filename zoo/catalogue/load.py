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
from zoo.catalogue.names import wrong_name, wrong_target
from zoo.catalogue.problems import did_you_mean, problems
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.catalogue.source import Source, merge, override, read_source
from zoo.errors import CatalogueError
from zoo.home import shipped_catalogue, user_catalogue

SECTIONS = ("datasets", "targets", "models")
SINGLE = ("default", "registry")
STUDY = "study-"  # models that are compared with each other; lists leave them out
OWN = ("description", "license", "base_model")  # not inherited: a derived model may use other data or weights
Model = TypeVar("Model")


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be built, and for what.

    Attributes:
        aliases: other names of targets.
        sources: models with their bases merged in; overrides are applied to them.
        faulty: errors by `models.NAME`, `datasets.NAME` or `targets.NAME`, line by line. A faulty entry is in no other
            attribute, and is reported when it is used.
    """

    default: str
    datasets: dict[str, Dataset]
    targets: dict[str, TargetSettings]
    aliases: dict[str, str]
    models: dict[str, Recipe]
    sources: dict[str, Source]
    registry: RegistrySettings
    faulty: dict[str, list[str]]

    def told(self, everything: bool = False) -> dict[str, Recipe]:
        """Models as they are listed: without those of studies (`STUDY`), unless everything is asked for."""
        return {name: recipe for name, recipe in self.models.items() if everything or not name.startswith(STUDY)}

    def recipe(self, name: str, overrides: Sequence[str] = ()) -> Recipe:
        """A model's recipe, with `key.path=value` overrides, and with explicit normalisation (`Recipe.settled`).

        Raises:
            CatalogueError: unknown or faulty model, or an override that does not fit.
            WeightsError: see `Recipe.settled`.
        """
        at = f"models.{name}"
        self._refuse_faulty(at)
        if name not in self.models:
            raise CatalogueError(f"no model {name!r} in the catalogue. {did_you_mean(name, self.models, self.told())}")
        recipe: Recipe | None = self.models[name]
        if overrides:
            source = self.sources[name]
            for assignment in overrides:
                source = override(source, assignment)
            found: list[str] = []
            recipe = _validated(Recipe, source, at, found)
            if recipe:
                found += _unknown_names(recipe, source, at, self._named("datasets"), self._named("targets"))
            if found or recipe is None:
                raise CatalogueError("\n".join(found))
        assert recipe is not None
        self._refuse_faulty(f"datasets.{recipe.dataset}")
        return recipe.settled()

    def _refuse_faulty(self, at: str) -> None:
        if at in self.faulty:
            raise CatalogueError("\n".join(self.faulty[at]))

    def _named(self, section: str) -> set[str]:
        """Names that exist, faulty or not."""
        sound = {*self.datasets} if section == "datasets" else {*self.targets, *self.aliases}
        return {*sound, *(at.partition(".")[2] for at in self.faulty if at.startswith(f"{section}."))}

    def target(self, name: str) -> str:
        """The own name of a target, given its name or an alias.

        Raises:
            CatalogueError: unknown or faulty target.
        """
        own = self.aliases.get(name, name)
        self._refuse_faulty(f"targets.{own}")
        if own not in self.targets:
            known = {*self.targets, *self.aliases}
            raise CatalogueError(f"no target {name!r} in the catalogue. {did_you_mean(name, known)}")
        return own


def _validated(model: type[Model], source: Source, at: str, found: list[str]) -> Model | None:
    try:
        return TypeAdapter(model).validate_python(source.data)
    except ValidationError as error:
        found += problems(error, model, source, at)
        return None


def _unknown_names(
    recipe: Recipe, source: Source, at: str, datasets: Collection[str], targets: Collection[str]
) -> list[str]:
    found = []
    if recipe.dataset not in datasets:
        hint = did_you_mean(recipe.dataset, datasets)
        found.append(f"{source.origin(('dataset',))}: {at}.dataset: no data set {recipe.dataset!r}. {hint}")
    for index, name in enumerate(recipe.targets):
        if name not in targets:
            hint = did_you_mean(name, targets)
            found.append(f"{source.origin(('targets', index))}: {at}.targets: no target {name!r}. {hint}")
    compress = recipe.distill.compress
    if compress and compress.target and compress.target not in targets:
        place = ("distill", "compress", "target")
        hint = did_you_mean(compress.target, targets)
        found.append(f"{source.origin(place)}: {at}.{'.'.join(place)}: no target {compress.target!r}. {hint}")
    return found


def _with_bases(name: str, models: Source, chain: tuple[str, ...] = ()) -> Source:
    """A model on top of its base, the base's base, and so on, without the keys that are not inherited."""
    own = models.at(name)
    if not isinstance(own.data, dict) or "base" not in own.data:
        return own
    base, where = str(own.data["base"]), f"{own.origin(('base',))}: models.{name}.base"
    if base not in models.data:
        raise CatalogueError(f"{where}: no model {base!r}. {did_you_mean(base, models.data)}")
    if base in (name, *chain):
        raise CatalogueError(f"{where}: {' → '.join((*chain, name, base))} is circular.")
    plain = Source({k: v for k, v in own.data.items() if k != "base"}, own.origins)
    below = _with_bases(base, models, (*chain, name))
    inherited = {k: v for k, v in below.data.items() if k not in OWN} if isinstance(below.data, dict) else below.data
    return merge(Source(inherited, below.origins), plain)


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
    sources = _models(source.at("models"), faulty)
    recipes = _sound("models", Recipe, sources, wrong_name, faulty)
    names = (source.data["datasets"], source.data["targets"])
    for name, recipe in recipes.items():
        _note(faulty, f"models.{name}", _unknown_names(recipe, sources[name], f"models.{name}", *names))
    recipes = {name: recipe for name, recipe in recipes.items() if f"models.{name}" not in faulty}
    default = str(source.data.get("default"))
    if default not in recipes and f"models.{default}" not in faulty:
        hint = did_you_mean(default, recipes)
        found.append(f"{source.origin(('default',))}: default: no model {default!r}. {hint}")
    named = "registry" in source.data
    registry = _validated(RegistrySettings, source.at("registry"), "registry", found) if named else RegistrySettings()
    if found or registry is None:
        raise CatalogueError("\n".join(dict.fromkeys(found)))
    return Catalogue(default, datasets, targets, aliases, recipes, sources, registry, faulty)


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
            found[name] = _with_bases(name, models)
        except CatalogueError as error:
            _note(faulty, f"models.{name}", [str(error)])
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
