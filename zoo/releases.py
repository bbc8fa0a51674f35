"""Finding recorded releases by name."""

from __future__ import annotations

from pathlib import Path

from zoo.catalogue.problems import did_you_mean
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.manifest import MANIFEST, Manifest, read_manifest


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def recorded(home: Home) -> dict[str, list[str]]:
    """Versions of every release by name, oldest first."""
    found: dict[str, list[str]] = {}
    for path in sorted(home.releases.glob(f"*/*/{MANIFEST}")):
        if not path.parent.name.startswith("."):
            found.setdefault(path.parent.parent.name, []).append(path.parent.name)
    return {name: sorted(versions, key=_order) for name, versions in found.items()}


def find_release(home: Home, wanted: str) -> tuple[Path, Manifest]:
    """A release by `name` (its newest version) or `name@version`.

    Raises:
        ManifestError: there is none, or its manifest can't be read.
    """
    name, _, version = wanted.partition("@")
    known = recorded(home)
    if name not in known:
        hint = f"{did_you_mean(name, known)} " if known else ""
        raise ManifestError(f"no release {name!r} in {home.root}. {hint}Build it: zoo build {name}")
    if version and version not in known[name]:
        raise ManifestError(f"no version {version} of {name} in {home.root}. There: {', '.join(known[name])}.")
    path = home.releases / name / (version or known[name][-1]) / MANIFEST
    return path, read_manifest(path)
