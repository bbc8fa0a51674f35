"""docs/api.md: what `import zoo` offers, and the errors, from signatures and docstrings.

griffe (https://mkdocstrings.github.io/griffe/) reads the sources without importing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.markdown import table

TOP = Path(__file__).parents[3]
WIDTH = 80  # of parameters that stay on one line
ATTRIBUTES = {"__version__": "The version of zoo, as text."}  # what has no docstring
ERRORS = ("targets.errors", "zoo.errors", "pipeline.errors", "calibration.errors")  # the root first


def _line(text: str) -> str:
    return " ".join(text.split())


def _lists(docstring: Any) -> Iterator[str]:
    """Text, and a list for each of Args, Attributes, Returns and Raises."""
    for section in docstring.parsed if docstring else []:
        match section.kind.value:
            case "text":
                yield f"{section.value}\n"
            case "parameters" | "attributes" as kind:
                yield f"{kind.capitalize()}:\n"
                yield "\n".join(f"- `{one.name}`: {_line(one.description)}" for one in section.value) + "\n"
            case "returns":
                yield "Returns:\n"
                yield "\n".join(f"- {_line(one.description)}" for one in section.value) + "\n"
            case "raises":
                yield "Raises:\n"
                yield "\n".join(f"- `{one.annotation}`: {_line(one.description)}" for one in section.value) + "\n"


def _function(function: Any, name: str, level: int) -> Iterator[str]:
    parameters = [
        str(one.name) + (f": {one.annotation}" if one.annotation else "") + (f" = {one.default}" if one.default else "")
        for one in function.parameters
        if one.name != "self"
    ]
    yield f"{'#' * level} `{name}`\n"
    inner = ", ".join(parameters)
    if len(inner) > WIDTH:
        inner = "\n" + "".join(f"    {one},\n" for one in parameters)
    yield f"```python\n{name}({inner}) -> {function.returns}\n```\n"
    yield from _lists(function.docstring)


def _class(found: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{found.name}`\n"
    yield from _lists(found.docstring)
    for name, member in found.members.items():
        if member.is_function and not name.startswith("_"):
            yield from _function(member, f"{found.name}.{name}", level + 1)


def _errors(loader: Any) -> Iterator[str]:
    for module in ERRORS:
        rows = []
        for name, found in loader.load(module).members.items():
            if not found.is_alias and found.is_class:
                first = next(iter(found.docstring.parsed)).value if found.docstring else ""
                rows.append([f"`{name}`", f"`{found.bases[0]}`", _line(first)])
        yield f"### `{module}`\n"
        yield table(["class", "base", ""], rows, 3) + "\n"


def api() -> str:
    """What `zoo.__all__` names, the classes that it returns, and all error classes, as Markdown."""
    import griffe  # an extra for whoever changes zoo: nothing else needs it

    loader = griffe.GriffeLoader(search_paths=[str(TOP)], docstring_parser="google")
    loader.load("targets")  # has the root of the errors, which `zoo` offers
    package = loader.load("zoo")
    parts: list[str] = []
    returned: list[str] = []
    for name in sorted(str(one) for one in package.exports or []):
        found = package[name]
        if found.is_function:
            target: Any = found.final_target if found.is_alias else found
            parts += _function(target, f"zoo.{name}", 2)
            returned.append(target.returns.canonical_path)
        elif found.is_class:
            parts += [f"## `zoo.{name}`\n", *_lists(found.docstring)]
        else:
            parts.append(f"## `zoo.{name}`\n\n{ATTRIBUTES[name]}\n")
    for path in returned:
        module, _, name = path.rpartition(".")
        parts += _class(loader.load(module)[name], 2)
    return "\n".join([*parts, "## Errors\n", *_errors(loader)]).rstrip() + "\n"
