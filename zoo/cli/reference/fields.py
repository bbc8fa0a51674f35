"""A JSON Schema as Markdown: one section per part, with each field's type in words and its description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pipeline.recipe import HubModel, Version
from zoo.markdown import table
from zoo.release.record import Name, Sha256

Schema = Mapping[str, Any]
PATTERNS = {
    get_args(annotated)[1].pattern: words
    for annotated, words in (
        (Sha256, "64 hexadecimal digits"),
        (Version, "three numbers, as `1.0.0`"),
        (Name, "text: letters, digits, `.`, `_` and `-`"),
        (HubModel, "text, as `timm/resnet18.a1_in1k`"),
    )
}  # a new pattern needs its description here


def _reference(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _text(schema: Schema) -> str:
    if "pattern" in schema:
        return PATTERNS[schema["pattern"]]
    return f"text, at most {schema['maxLength']} characters" if "maxLength" in schema else "text"


def _object(schema: Schema) -> str:
    inner = schema.get("additionalProperties")
    if not isinstance(inner, Mapping):
        return "object"
    keys = f", by {_enum(schema['propertyNames'])}" if "propertyNames" in schema else ""
    return f"object of {in_words(inner)}{keys}"


def _list(schema: Schema) -> str:
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {', '.join(map(in_words, schema['prefixItems']))}"
    least = f"at least {schema['minItems']} " if "minItems" in schema else ""
    return f"list of {least}{in_words(schema['items'])}"


def _enum(schema: Schema) -> str:
    *words, last = [f"`{json.dumps(value)}`" for value in schema["enum"]]
    return f"{', '.join(words)} or {last}"


def _any(kinds: Sequence[Schema]) -> str:
    words = [in_words(kind) for kind in kinds]
    return ", or ".join(words) if any(" " in word for word in words) else " or ".join(words)


def in_words(schema: Schema) -> str:
    """The type of a value in words; a link to its section if it has one."""
    match schema:
        case {"$ref": _}:
            return f"[{_reference(schema)}](#{_reference(schema).casefold()})"
        case {"anyOf": kinds}:
            return _any(kinds)
        case {"const": value}:
            return f"`{json.dumps(value)}`"
        case {"enum": _}:
            return _enum(schema)
        case {"type": "string"}:
            return _text(schema)
        case {"type": "object"}:
            return _object(schema)
        case {"type": "array"}:
            return _list(schema)
    least = f", at least {schema['minimum']}" if "minimum" in schema else ""
    return f"{schema['type']}{least}"


def _mentioned(schema: Any) -> Iterator[str]:
    """Names of parts, in order of appearance."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield _reference(schema)
        for key, inner in schema.items():
            if key not in ("$defs", "discriminator"):
                yield from _mentioned(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _mentioned(inner)


def parts(schema: Schema) -> dict[str, Schema]:
    """All parts of a published schema that have fields, by name: the record itself, then the others as they appear."""
    found: dict[str, Schema] = {schema["title"]: schema} if "properties" in schema else {}
    waiting = [*_mentioned(schema)]
    while waiting:
        if (name := waiting.pop(0)) not in found:
            found[name] = schema["$defs"][name]
            waiting = [*_mentioned(found[name]), *waiting]
    return found


def _line(schema: Schema) -> str:
    return " ".join(schema.get("description", "").split())


def _section(name: str, part: Schema) -> str:
    about = _line(part)
    rows = [[f"`{field}`", in_words(schema), _line(schema)] for field, schema in part["properties"].items()]
    head = [f"### {name}\n", *[f"{about}\n"] * bool(about)]
    return "\n".join([*head, table(["field", "type", "what, and why"], rows, 3), ""])


def sections(schema: Schema, told: Schema | None = None) -> str:
    """Sections for all parts of a schema.

    Args:
        told: another schema, whose parts have their sections elsewhere on the page.
    """
    elsewhere = parts(told) if told else {}
    return "\n".join(_section(name, part) for name, part in parts(schema).items() if name not in elsewhere)
