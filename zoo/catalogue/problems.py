"""Turns pydantic's errors into lines that say where, what, and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from targets.errors import as_written
from zoo.catalogue.source import KeyPath, Source

NEAR, TOLD, COMPARED = 4, 40, 2000  # words
FAMILY = 5  # words of one beginning that are listed
FORMS: dict[str | int, str] = {
    "version": 'MAJOR.MINOR.PATCH, a text such as "1.0.0"',
    "base_model": "OWNER/NAME of a network on the Hugging Face Hub, such as timm/resnet18.a1_in1k",
}
"""In words, what a pattern of `pipeline.recipe` accepts, by key."""
ADDING = {
    "data set": "To add one, describe it under datasets in zoo.yaml, then check it: zoo data NAME.",
    "model": "To add one, describe it under models in zoo.yaml, or build it from a release: "
    "zoo build NAME --from RELEASE.",
    "target": "To add one, describe it under targets in zoo.yaml; zoo doctor shows what is usable here.",
}
"""How a catalogue gets what it does not have, by what that is."""


def did_you_mean(word: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """A sentence with the known words that begin so, the nearest one, or all of them if none is near.

    Args:
        listed: those of the known words that are listed if none is near; by default all.
    """
    words = sorted(known)
    near = [other for other in words if word and other.startswith(word)][:NEAR]
    near = near or difflib.get_close_matches(word, words[:COMPARED], 1)
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    words = _families(words if listed is None else sorted(listed))
    more = f" and {len(words) - TOLD} more" if len(words) > TOLD else ""
    return f"Known: {', '.join(words[:TOLD]) or 'none'}{more}."


def none_named(
    kind: Literal["data set", "model", "target"],
    name: str,
    known: Iterable[str],
    listed: Iterable[str] | None = None,
    where: str = "",
) -> str:
    """Sentences for a name that the catalogue does not have: which ones it has, and how to add it.

    Args:
        listed: see `did_you_mean`.
        where: is added to the first sentence.
    """
    return f"no {kind} {name!r}{where}. {did_you_mean(name, known, listed)} {ADDING[kind]}"


def _families(words: Iterable[str]) -> list[str]:
    """Words, with many of one beginning as one: `study-… (16)`."""
    found: list[str] = []
    for beginning, group in groupby(words, key=lambda word: word.partition("-")[0]):
        family = [*group]
        found += family if len(family) <= FAMILY else [f"{beginning}-… ({len(family)})"]
    return found


def _keys(model: Any) -> dict[str, Any]:
    """Keys of a model or dataclass, and their types."""
    if dataclasses.is_dataclass(model):
        return get_type_hints(model)
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    fields = model.model_fields.items() if is_model else ()
    return {field.alias or name: field.annotation for name, field in fields}


def _fields(model: type[Any], path: KeyPath) -> list[str]:
    """Keys that are allowed at a key path below a model."""
    current: Any = model
    for key in path:
        current = _keys(current).get(str(key))
        if get_origin(current) in (Union, types.UnionType):
            options = [option for option in get_args(current) if option is not type(None)]
            current = options[0] if options else None
    return [name for name in _keys(current) if not name.startswith("_")]


def _got(value: object) -> str:
    return f" (got {repr(value) if isinstance(value, str) else as_written(value)})"


def problems(
    error: ValidationError, model: type[Any], source: Source, at: str, incomplete: bool = False
) -> Iterator[str]:
    """One line per problem: `file:line: key path: what is wrong. What would be right`.

    Args:
        incomplete: keys may be missing, since more is added later.
    """
    for item in error.errors():
        path: KeyPath = item["loc"]
        where = f"{source.origin(path)}: {'.'.join(map(str, (at, *path)))}"
        match item["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                yield f"{where}: unknown key. {did_you_mean(str(path[-1]), _fields(model, path[:-1]))}"
            case "missing" if incomplete:
                continue
            case "missing":
                yield f"{where}: is missing."
            case "string_type" | "string_pattern_mismatch" if path and path[-1] in FORMS:
                yield f"{where}: is {FORMS[path[-1]]}{_got(item['input'])}."
            case _:
                message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
                plain = path and isinstance(item["input"], str | int | float | bool | None)
                yield f"{where}: {message}{_got(item['input']) if plain else ''}."
