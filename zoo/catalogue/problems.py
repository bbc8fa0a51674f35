"""From what pydantic found wrong to lines that say where, what, and what would be right."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from zoo.catalogue.source import KeyPath, Source


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or all of them when none is near."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, 1)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(words) or 'none'}."


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Keys that are allowed at a key path below a model."""
    current: Any = model
    for key in path:
        if not (isinstance(current, type) and issubclass(current, BaseModel)) or key not in current.model_fields:
            return []
        current = current.model_fields[str(key)].annotation
        if get_origin(current) in (Union, types.UnionType):
            options = [option for option in get_args(current) if option is not type(None)]
            current = options[0] if options else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def problems(error: ValidationError, model: type[BaseModel], source: Source, at: str) -> Iterator[str]:
    """One line per problem: `file:line: key path: what is wrong. What would be right`."""
    for item in error.errors():
        path: KeyPath = item["loc"]
        where = f"{source.origin(path)}: {'.'.join(map(str, (at, *path)))}"
        match item["type"]:
            case "extra_forbidden":
                yield f"{where}: unknown key. {did_you_mean(str(path[-1]), _fields(model, path[:-1]))}"
            case "missing":
                yield f"{where}: is missing."
            case _:
                message = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
                given = item["input"]
                plain = path and isinstance(given, str | int | float | bool | None)
                shown = f" (got {given!r})" if plain else ""
                yield f"{where}: {message}{shown}."
