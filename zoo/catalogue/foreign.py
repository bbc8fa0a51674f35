"""The recipe of `zoo add`, from its options; names of data sets and targets are the catalogue's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.foreign_recipe import ForeignRecipe
from zoo.catalogue.catalogue import Catalogue
from zoo.catalogue.names import wrong_name
from zoo.catalogue.problems import problems
from zoo.catalogue.source import KeyPath, Origin, Source, override
from zoo.errors import CatalogueError

# What the command was told is checked against the file and the catalogue, and recorded, before `--set` applies.
OPTIONS = {
    "dataset": "--data",
    "description": "--description",
    "foreign": "--output, --layout or --channels",
    "input": "--size, --mean, --std or --range",
    "license": "--license",
    "targets": "--target",
}


def check_free(catalogue: Catalogue, name: str) -> None:
    """Check that a foreign network can have a name.

    Raises:
        CatalogueError: it is not valid, or is that of a model of the catalogue.
    """
    if why := wrong_name(name):
        raise CatalogueError(f"{name!r}: {why}")
    if name in catalogue.entries.data:
        raise CatalogueError(f"{name} is a model of the catalogue, which zoo build trains. Choose another name.")


def foreign_recipe(values: Mapping[str, Any], overrides: Sequence[str]) -> ForeignRecipe:
    """A recipe of options, with `key.path=value` overrides.

    Raises:
        CatalogueError: an override does not fit, or changes what an option says.
    """
    written = Origin("the command")
    inner: dict[KeyPath, Origin] = {
        (key, name): written for key, part in values.items() if isinstance(part, dict) for name in part
    }
    source = Source(dict(values), {(): written, **inner, **{(key,): written for key in values}})
    for assignment in overrides:
        key = assignment.partition("=")[0].strip().partition(".")[0]
        if key in OPTIONS:
            raise CatalogueError(f"--set {assignment}: zoo add has options for {key}. Use {OPTIONS[key]}.")
        source = override(source, assignment)
    try:
        return TypeAdapter(ForeignRecipe).validate_python(source.data)
    except ValidationError as error:
        raise CatalogueError("\n".join(problems(error, ForeignRecipe, source, "recipe", False))) from None
