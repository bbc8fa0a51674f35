"""Reading, layering, inheriting, validating."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.data.dataset import Dataset
from pipeline.recipe import Recipe
from targets.settings import TargetSettings
from zoo.catalogue.names import wrong_name, wrong_target
from zoo.catalogue.problems import did_you_mean, problems
from zoo.catalogue.registry import RegistrySettings
from zoo.catalogue.source import Source, merge, override, read_source
from zoo.errors import CatalogueError
from zoo.home import shipped_catalogue, user_catalogue

SECTIONS = ("datasets", "targets", "models")
SINGLE = ("default", "registry")
Model = TypeVar("Model")


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be built, and with what."""

    default: str
    datasets: dict[str, Dataset]
    targets: dict[str, TargetSettings]
    aliases: dict[str, str]  # further names of targets
    models: dict[str, Recipe]
    sources: dict[str, Source]  # of models, bases already merged in: what overrides are laid on
    registry: RegistrySettings

    def recipe(self, name: str, overrides: Sequence[str] = ()) -> Recipe:
        """A model's recipe, with `key.path=value` overrides.

        Raises:
            CatalogueError: unknown model, or an override that does not fit.
        """
        if name not in self.models:
            raise CatalogueError(f"no model {name!r} in the catalogue. {did_you_mean(name, self.models)}")
        if not overrides:
            return self.models[name]
        source = self.sources[name]
        for assignment in overrides:
            source = override(source, assignment)
        found: list[str] = []
        recipe = _validated(Recipe, source, f"models.{name}", found)
        if recipe:
            known = {*self.targets, *self.aliases}
            found += _unknown_names(recipe, source, f"models.{name}", self.datasets, known)
        if found or recipe is None:
            raise CatalogueError("\n".join(found))
        return recipe

    def target(self, name: str) -> str:
        """The own name of a target, which may be called by an alias.

        Raises:
            CatalogueError: unknown target.
        """
        own = self.aliases.get(name, name)
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
    """A model on top of its base, that one's base, and so on."""
    own = models.at(name)
    if not isinstance(own.data, dict) or "base" not in own.data:
        return own
    base, where = str(own.data["base"]), f"{own.origin(('base',))}: models.{name}.base"
    if base not in models.data:
        raise CatalogueError(f"{where}: no model {base!r}. {did_you_mean(base, models.data)}")
    if base in (name, *chain):
        raise CatalogueError(f"{where}: {' → '.join((*chain, name, base))} goes in a circle.")
    plain = Source({k: v for k, v in own.data.items() if k != "base"}, own.origins)
    return merge(_with_bases(base, models, (*chain, name)), plain)


def _shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # where we are was removed
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
    for section, content in over.data.items():  # names replace names whole; `base:` is the way to change a part
        names = list(content) if section in SECTIONS and isinstance(content, dict) else None
        replaced = [(section, name) for name in names] if names is not None else [(section,)]
        origins = {p: o for p, o in origins.items() if not any(p[: len(r)] == r for r in replaced)}
        data[section] = {**data.get(section, {}), **content} if names is not None else content
    origins |= {path: origin for path, origin in over.origins.items() if path}
    return Source(data, origins)


def load_catalogue() -> Catalogue:
    """The shipped catalogue with the user's on top (`zoo.home.user_catalogue`).

    Raises:
        CatalogueError: with every problem found, one line each.
    """
    return read_catalogue(user_catalogue())


def read_catalogue(own: Path | None) -> Catalogue:
    """The shipped catalogue with another on top, if there is one.

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

        for name in source.data[section]:
            if why := wrong_name(name):
                found.append(f"{source.origin((section, name))}: {section}.{name}: {why}")

    def all_of(section: str, model: type[Model]) -> dict[str, Model | None]:
        return {
            name: _validated(model, source.at(section, name), f"{section}.{name}", found)
            for name, content in source.data[section].items()
            if section != "targets" or not isinstance(content, str)
        }

    datasets, targets = all_of("datasets", Dataset), all_of("targets", TargetSettings)
    models = source.at("models")
    sources = {name: _with_bases(name, models) for name in models.data if not name.startswith("_")}
    recipes = {name: _validated(Recipe, part, f"models.{name}", found) for name, part in sources.items()}
    known_datasets = {n: value for n, value in datasets.items() if value}
    known_targets = {n: value for n, value in targets.items() if value}
    aliases = {name: to for name, to in source.data["targets"].items() if isinstance(to, str)}
    for name in source.data["targets"]:
        if name not in aliases and (why := wrong_target(name, {*source.data["targets"]} - {*aliases})):
            found.append(f"{source.origin(('targets', name))}: targets.{name}: {why}")
    for name, to in aliases.items():
        if to not in targets:
            where = f"{source.origin(('targets', name))}: targets.{name}"
            found.append(f"{where}: is an alias of no target: {to!r}. {did_you_mean(to, targets)}")
    for name, recipe in recipes.items():
        if recipe:
            names = {*known_targets, *aliases}
            unknown = _unknown_names(recipe, sources[name], f"models.{name}", known_datasets, names)
            found += [] if any(value is None for value in (*datasets.values(), *targets.values())) else unknown
    default = str(source.data.get("default"))
    if default not in recipes:
        hint = did_you_mean(default, recipes)
        found.append(f"{source.origin(('default',))}: default: no model {default!r}. {hint}")
    named = "registry" in source.data
    registry = _validated(RegistrySettings, source.at("registry"), "registry", found) if named else RegistrySettings()
    if found or registry is None:
        raise CatalogueError("\n".join(dict.fromkeys(found)))
    known_models = {n: value for n, value in recipes.items() if value}
    return Catalogue(default, known_datasets, known_targets, aliases, known_models, sources, registry)
