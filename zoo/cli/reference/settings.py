"""docs/recipes.md: every setting of a recipe, with its default."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pipeline.method.settings import Method
from pipeline.recipe import Recipe
from pipeline.stages.distill import Distill
from pipeline.training.schedule import Supervision
from zoo.cli.reference.fields import in_words
from zoo.markdown import table

SHARED = "teacher and distill"
FREE: tuple[Method, ...] = ("cdd", "deap", "fixed")  # methods that need no budget
HEADINGS = ["setting", "type", "default", ""]


def _default(schema: Mapping[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else "required"


def _nested(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The settings that a setting holds, if any."""
    for kind in schema.get("anyOf", [schema]):
        if "$ref" in kind:
            found: Mapping[str, Any] = parts[kind["$ref"].rpartition("/")[2]]
            return found
    return None


def _rows(name: str, schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[list[str]]:
    about = " ".join(schema.get("description", "").split())
    if inner := _nested(schema, parts):
        null = " or null" if "anyOf" in schema else ""
        yield [f"`{name}`", f"settings{null}", "`null`" if null else "", about or _first(inner)]
        for key, one in inner["properties"].items():
            yield from _rows(f"{name}.{key}", one, parts)
    else:
        yield [f"`{name}`", in_words(schema), _default(schema), about]


def _first(schema: Mapping[str, Any]) -> str:
    """The first sentence about settings."""
    return str(schema.get("description", "")).split("\n\n")[0].replace("\n", " ")


def _by_method() -> str:
    """Defaults of `distill` that another method than `cdd` has."""
    made = {
        method: Distill.model_validate({"method": method, "compress": None if method in FREE else {"macs": 0.5}})
        for method in get_args(Method)
    }
    differ = [
        name
        for name in Distill.model_fields
        if name not in ("method", "compress") and len({str(getattr(one, name)) for one in made.values()}) > 1
    ]
    left_out = {"null": "a sixth of `epochs`"}  # of learn_epochs
    values = {name: [json.dumps(getattr(one, name)) for one in made.values()] for name in differ}
    rows = [[f"`{name}`", *(left_out.get(value, f"`{value}`") for value in row)] for name, row in values.items()]
    return table(["default of", *(f"`{method}`" for method in made)], rows, 1 + len(made))


def settings() -> str:
    """A table for each section of a recipe, as Markdown."""
    schema = Recipe.model_json_schema()
    parts = schema["$defs"]
    top: list[list[str]] = []
    sections: dict[str, tuple[str, list[list[str]]]] = {}
    for name, one in schema["properties"].items():
        inner = _nested(one, parts)
        if inner is None:
            top += _rows(name, one, parts)
            continue
        shared = Supervision.model_fields if name in SHARED.split(" and ") else {}
        for key, field in inner["properties"].items():
            place = SHARED if key in shared else name
            about = "The schedule and the losses of both." if place == SHARED else _first(inner)
            rows = sections.setdefault(place, (about, []))[1]
            if f"`{key}`" not in [row[0] for row in rows]:
                rows += _rows(key, field, parts)
    tables = [f"### Top level\n\n{table(HEADINGS, top, 4)}\n"]
    for place, (about, rows) in sections.items():
        tables.append(f"### {place}\n\n{about}\n\n{table(HEADINGS, rows, 4)}\n")
        if place == "distill":
            tables.append(f"These defaults depend on `distill.method`:\n\n{_by_method()}\n")
    return "\n".join(tables)
