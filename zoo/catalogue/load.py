"""Reads catalogues: entries get their bases and are validated; faulty ones are kept apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
from pathlib import Path

from pipeline.data.dataset import Dataset
from pipeline.recipe import Recipe
from targets.settings import TargetSettings
from zoo.catalogue.catalogue import Catalogue
from zoo.catalogue.derived import FROM, empty, with_bases, with_method
from zoo.catalogue.layers import SECTIONS, layered
from zoo.catalogue.names import wrong_name, wrong_target
from zoo.catalogue.problems import did_you_mean, none_named
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.catalogue.source import Source, merge
from zoo.catalogue.student import with_student
from zoo.catalogue.validation import Model, unknown_names, validated
from zoo.errors import CatalogueError
from zoo.home import user_catalogue

SINGLE = ("default", "registry")  # sections of one entry


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
    source = layered(own)
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
        _note(faulty, f"models.{name}", unknown_names(recipe, sources[name], f"models.{name}", *names))
    recipes = {name: recipe for name, recipe in recipes.items() if f"models.{name}" not in faulty}
    default = str(source.data.get("default"))
    if default not in recipes and f"models.{default}" not in faulty:
        found.append(f"{source.origin(('default',))}: default: {none_named('model', default, recipes)}")
    named = "registry" in source.data
    registry = validated(RegistrySettings, source.at("registry"), "registry", found) if named else RegistrySettings()
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
        valid = validated(model, part, at, lines)
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
        validated(Recipe, own, at, lines, incomplete=True)
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
