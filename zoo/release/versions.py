"""Selects a version: 1.2.0, or one of npm's ranges: ^1.2, ~1.2.3, >=1.0 <2.

https://github.com/npm/node-semver
"""

from __future__ import annotations

from collections.abc import Iterable

from semantic_version import NpmSpec, Version

SHOWN = 60  # characters of an invalid range that an error quotes


def order(version: str) -> tuple[int, ...]:
    """Sort key of a version, oldest first. Accepts any text."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def raising(foreign: bool) -> str:
    """How to build a release with another version, as the beginning of a sentence.

    Args:
        foreign: whether it is of a network that zoo did not train, which no catalogue has.
    """
    return "Raise its version (--set version=…" + (")" if foreign else ", or `version` of the model in zoo.yaml)")


def newest(name: str, versions: Iterable[str], wanted: str) -> str | None:
    """The newest version of a release in a range; None if there is none. An empty range matches all.

    Raises:
        ValueError: `wanted` is not a range; the message says how to write one.
    """
    try:
        range_ = NpmSpec(wanted or "*")
    except ValueError:
        said = wanted if len(wanted) <= SHOWN else f"{wanted[:SHOWN]}…"
        raise ValueError(f"{said!r} is not a version. Write {name}@1.2.0, or a range: {name}@^1.2.") from None
    best = range_.select(Version(version) for version in versions if Version.version_re.match(version))
    return best and str(best)
