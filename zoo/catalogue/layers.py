"""The shipped catalogue with the user's entries in place of their namesakes."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.catalogue.source import Source, read_source
from zoo.errors import CatalogueError
from zoo.home import shipped_catalogue

SECTIONS = ("datasets", "targets", "models")


def _shown(path: Path) -> str:
    """The shortest form of a path from the current folder."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the current folder was removed
        return str(path)
    return str(path) if relative.startswith("..") else relative


def layered(own: Path | None) -> Source:
    """The shipped catalogue, extended by another, if there is one.

    Raises:
        CatalogueError: one can't be read, or is no mapping.
    """
    shipped = shipped_catalogue()
    source = read_source(shipped, _shown(shipped))
    if own is None or (own.exists() and own.samefile(shipped)):
        return source
    over = read_source(own, _shown(own))
    for layer in (source, over):
        if not isinstance(layer.data, dict):
            raise CatalogueError(f"{layer.origin(())}: a catalogue is a mapping with {', '.join(SECTIONS)}.")
    data, origins = dict(source.data), dict(source.origins)
    for section, content in over.data.items():  # an entry replaces its namesake; use `base:` to change a part
        names = list(content) if section in SECTIONS and isinstance(content, dict) else None
        replaced = [(section, name) for name in names] if names is not None else [(section,)]
        origins = {p: o for p, o in origins.items() if not any(p[: len(r)] == r for r in replaced)}
        data[section] = {**data.get(section, {}), **content} if names is not None else content
    origins |= {path: origin for path, origin in over.origins.items() if path}
    return Source(data, origins)
