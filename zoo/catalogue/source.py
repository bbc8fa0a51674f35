"""YAML with line numbers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import CatalogueError

logger = logging.getLogger(__name__)

KeyPath = tuple[str | int, ...]
OVERRIDE = "--set "  # how origins of overrides begin


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a line of a file, or an option of the command line."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Source:
    """Plain data, and the origin of every key path in it."""

    data: Any
    origins: dict[KeyPath, Origin]

    def origin(self, path: KeyPath) -> Origin:
        """Origin of a key path, or of its nearest parent that was written explicitly."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins[path]

    def at(self, *path: str | int) -> Source:
        """The part below a key path."""
        data = self.data
        for key in path:
            data = data[key]
        size = len(path)
        return Source(data, {key[size:]: origin for key, origin in self.origins.items() if key[:size] == path})


def read_source(path: Path, shown: str) -> Source:
    """Read a YAML file.

    Raises:
        CatalogueError: it can't be read, is not YAML, or repeats a key.
    """
    try:
        logger.debug("reading %s", path)
        text = path.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CatalogueError(
            f"can't read the catalogue {path}: {reason}. Check the file, or name another: ZOO_CATALOGUE=FILE"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise CatalogueError(f"{shown}{line}: not YAML: {getattr(error, 'problem', error)}.") from None
    origins: dict[KeyPath, Origin] = {(): Origin(shown, 1)}

    def walk(node: yaml.Node | None, at: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(loader.construct_object(key_node, deep=True))
                origin = Origin(shown, key_node.start_mark.line + 1)
                if key in result:
                    raise CatalogueError(
                        f"{origin}: the key {'.'.join(map(str, (*at, key)))} is repeated. Leave one out."
                    )
                origins[(*at, key)] = origin
                result[key] = walk(value_node, (*at, key))
            return result
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                origins[(*at, index)] = Origin(shown, item.start_mark.line + 1)
            return [walk(item, (*at, index)) for index, item in enumerate(node.value)]
        return loader.construct_object(node, deep=True) if node else {}

    try:
        return Source(walk(node, ()), origins)
    except (yaml.YAMLError, ValueError) as error:  # an invalid tag or date
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise CatalogueError(f"{shown}{line}: not plain YAML: {getattr(error, 'problem', error)}.") from None


def merge(base: Source, over: Source) -> Source:
    """`over` on top of `base`: mappings key by key, everything else replaced."""
    if not (isinstance(base.data, dict) and isinstance(over.data, dict)):
        return over
    data: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {(): over.origins.get((), base.origins[()])}
    for key in [*base.data, *(key for key in over.data if key not in base.data)]:
        if key in base.data and key in over.data:
            part = merge(base.at(key), over.at(key))
        else:
            part = (over if key in over.data else base).at(key)
        data[key] = part.data
        origins |= {(key, *path): origin for path, origin in part.origins.items()}
    return Source(data, origins)


def override(source: Source, assignment: str) -> Source:
    """Apply `a.b=value` to a source; the value is parsed as YAML.

    Raises:
        CatalogueError: there is no `=`, or the value is not YAML.
    """
    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise CatalogueError(f"--set {assignment}: write it as key.path=value, such as distill.epochs=3.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise CatalogueError(f"--set {assignment}: {text!r} is not a YAML value. Put quotes around a text.") from None
    origin = Origin(f"{OVERRIDE}{assignment}")
    data: Any = value
    for key in reversed(keys):
        data = {key: data}
    origins: dict[KeyPath, Origin] = {tuple(keys[:size]): origin for size in range(len(keys) + 1)}
    return merge(source, Source(data, origins))
