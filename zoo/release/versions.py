"""Which version is meant: 1.2.0, or one of npm's ranges: ^1.2, ~1.2.3, >=1.0 <2.

https://github.com/npm/node-semver
"""

from __future__ import annotations

from collections.abc import Iterable

from semantic_version import NpmSpec, Version

SHOWN = 60  # characters of a range that can't be read


def order(version: str) -> tuple[int, ...]:
    """To sort versions by, oldest first. Takes any text."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def newest(name: str, versions: Iterable[str], wanted: str) -> str | None:
    """The newest of a release's versions that a range takes; none if it takes none of them. An empty range takes all.

    Raises:
        ValueError: `wanted` is no range; says what is.
    """
    try:
        range_ = NpmSpec(wanted or "*")
    except ValueError:
        said = wanted if len(wanted) <= SHOWN else f"{wanted[:SHOWN]}…"
        raise ValueError(f"{said!r} is no version. Write {name}@1.2.0, or a range: {name}@^1.2.") from None
    best = range_.select(Version(version) for version in versions if Version.version_re.match(version))
    return best and str(best)
