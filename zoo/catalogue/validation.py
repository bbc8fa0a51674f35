"""Validates entries of a catalogue: their form, and the names they refer to. Each error is a line with its place."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.recipe import Recipe
from zoo.catalogue.problems import none_named, problems
from zoo.catalogue.source import Source

Model = TypeVar("Model")


def validated(model: type[Model], source: Source, at: str, found: list[str], incomplete: bool = False) -> Model | None:
    """An entry as its model; None if it is not valid.

    Args:
        at: its place in the catalogue, as in `models.NAME`.
        found: gets the errors.
        incomplete: whether keys may be missing.
    """
    try:
        return TypeAdapter(model).validate_python(source.data)
    except ValidationError as error:
        found += problems(error, model, source, at, incomplete)
        return None


def unknown_dataset(name: object, source: Source, at: str, datasets: Collection[str]) -> list[str]:
    """The error of a recipe whose data set does not exist, if that is so."""
    if not isinstance(name, str) or name in datasets:  # anything else is refused with the whole recipe
        return []
    return [f"{source.origin(('dataset',))}: {at}.dataset: {none_named('data set', name, datasets)}"]


def unknown_names(
    recipe: Recipe, source: Source, at: str, datasets: Collection[str], targets: Collection[str]
) -> list[str]:
    """Errors of a recipe that refers to data sets or targets that do not exist."""
    found = unknown_dataset(recipe.dataset, source, at, datasets)
    for index, name in enumerate(recipe.targets):
        if name not in targets:
            found.append(f"{source.origin(('targets', index))}: {at}.targets: {none_named('target', name, targets)}")
    compress = recipe.distill.compress
    if compress and compress.target and compress.target not in targets:
        place = ("distill", "compress", "target")
        why = none_named("target", compress.target, targets)
        found.append(f"{source.origin(place)}: {at}.{'.'.join(place)}: {why}")
    return found
