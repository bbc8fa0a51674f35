"""Shapes as Markdown: a table each, with a path as in jq, a type, and a description."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

from zoo.cli.exit_codes import MEANINGS
from zoo.cli.shapes.commands import COMMANDS
from zoo.cli.shapes.events import EVENTS
from zoo.markdown import table

WORDS = {str: "text", int: "integer", float: "number", bool: "boolean", Any: "anything"}
Line = tuple[str, str, str]  # path, type, description


def _lines(shape: Any, seen: dict[Any, str], path: str = "", about: str = "", null: str = "") -> Iterator[Line]:
    """Lines of a shape and its parts, each part once; a mere container has a line only if it has a description."""
    origin, parts = get_origin(shape), get_args(shape)
    if origin is Annotated:
        said = [note for note in shape.__metadata__ if isinstance(note, str)]
        yield from _lines(parts[0], seen, path, about or " ".join(said), null)
    elif origin in (Union, types.UnionType):
        (one,) = (part for part in parts if part is not type(None))
        yield from _lines(one, seen, path, about, " or null")
    elif is_typeddict(shape):
        about = f"as `{seen[shape]}`" if shape in seen else about
        if about:
            yield path, f"object{null}", about
        if about.startswith("as "):
            return
        seen[shape] = path
        for key, inner in get_type_hints(shape, include_extras=True).items():
            yield from _lines(inner, seen, f"{path}.{key}")
    elif origin is list:
        if about and is_typeddict(parts[0]):
            yield path, f"array{null}", about
            about = ""
        yield from _lines(parts[0], seen, f"{path}[]", about, null)
    elif origin is dict and parts[1] is not Any:
        yield from _lines(parts[1], seen, f"{path}.*", about, null)
    elif origin is Literal:
        yield path, " or ".join(f'`"{value}"`' for value in parts) + null, about
    else:
        yield path, WORDS.get(shape, "object") + null, about


def _table(shape: Any) -> str:
    return table(["key", "type", ""], [[f"`{path}`", kind, about] for path, kind, about in _lines(shape, {})], 3)


def _about(shape: Any) -> str:
    return str((get_args(shape) or (shape,))[0].__doc__)


def shapes() -> str:
    """Output of `--json`, by command; commands with equal output share a table."""
    names: dict[str, list[str]] = {}
    for name, shape in COMMANDS.items():
        names.setdefault(str(shape), []).append(f"`zoo {name}`")
    parts = []
    for same in names.values():
        shape = COMMANDS[same[0].strip("`").removeprefix("zoo ")]
        parts.append(f"### {', '.join(same)}\n\n{_about(shape)}\n\n{_table(shape)}\n")
    return "\n".join(parts)


def events() -> str:
    """Output of `--events`, by event."""
    rows = []
    for name, event in EVENTS.items():
        _, _, *keys = _lines(event, {})
        fields = [f"`{path[1:]}` {kind}" + f": {about}" * bool(about) for path, kind, about in keys]
        rows.append([f"`{name}`", event.__doc__ or "", " · ".join(fields)])
    return table(["`event`", "", "beside `event` and `time`"], rows, 3) + "\n"


def exit_codes() -> str:
    """Meaning of the exit codes."""
    return table(["exit code", ""], [[str(code), said] for code, said in MEANINGS.items()], 2) + "\n"
