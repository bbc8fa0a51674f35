"""Versions of libraries: of installed ones, and of those that this package carries as files because PyPI lacks them."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from importlib.resources import files

CARRIED = {"onnxruntime-web": "browser/static/ort/carried.json"}  # by the name that its own registry has for it


@cache
def carried_version(name: str) -> str | None:
    """Version of a library that this package carries; None if it carries none of this name."""
    if name not in CARRIED:
        return None
    try:
        found: str = json.loads(files("targets").joinpath(CARRIED[name]).read_bytes())["version"]
    except FileNotFoundError:  # a bundle for another runtime leaves its files out
        return None
    return found


def library_version(name: str) -> str:
    """Version of a library, carried or installed.

    Raises:
        PackageNotFoundError: it is neither.
    """
    return carried_version(name) or version(name)
