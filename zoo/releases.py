"""Releases on this machine: those that were built here, and those that were pulled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zoo.catalogue import load_catalogue
from zoo.catalogue.problems import did_you_mean
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.manifest import MANIFEST, Manifest, read_manifest
from zoo.measurements import MEASUREMENTS, Broken, Estimated, Measured, Measurement, Pending, read_measurements


@dataclass(frozen=True)
class Release:
    """A release with the measurements that are known of it here.

    Attributes:
        path: of its manifest, beside which its files lie.
    """

    path: Path
    manifest: Manifest
    measurements: list[Measurement]

    @property
    def measured(self) -> list[Measured]:
        """Figures."""
        return [one for one in self.measurements if isinstance(one, Measured)]

    @property
    def estimated(self) -> list[Estimated]:
        """Accuracy that is expected where it was not measured yet."""
        known = {(one.target, one.network, one.precision) for one in self.measured if one.accuracy}
        estimates = [one for one in self.measurements if isinstance(one, Estimated)]
        return [one for one in estimates if (one.target, one.network, one.precision) not in known]

    @property
    def pending(self) -> list[Pending]:
        """Targets that wait for their device."""
        return [one for one in self.measurements if isinstance(one, Pending)]

    @property
    def broken(self) -> list[Broken]:
        """Precisions that can't be had on a target."""
        return [one for one in self.measurements if isinstance(one, Broken)]

    @property
    def public(self) -> list[Measurement]:
        """What is published: all but what waits for a device, whose bundle stays here."""
        return [one for one in self.measurements if not isinstance(one, Pending)]

    def on(self, target: str) -> list[Measured]:
        """Figures on one target."""
        return [one for one in self.measured if one.target == target]


def read_release(path: Path, added: Path | None = None) -> Release:
    """The release whose manifest lies at `path`.

    Args:
        added: folder of measurements that were made later.

    Raises:
        ManifestError: manifest or a measurement can't be read.
    """
    records = read_measurements(path.parent / MEASUREMENTS, *([added] if added else []))
    return Release(path, read_manifest(path), records)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _paths(home: Home) -> dict[str, dict[str, Path]]:
    """Manifests by name and version. What was built here stands before what was pulled under the same name."""
    found: dict[str, dict[str, Path]] = {}
    for root in (home.pulled, home.releases):
        for path in sorted(root.glob(f"*/*/{MANIFEST}")):
            if not path.parent.name.startswith("."):
                found.setdefault(path.parent.parent.name, {})[path.parent.name] = path
    return found


def recorded(home: Home) -> dict[str, list[str]]:
    """Versions of every release that is here by name, oldest first."""
    return {name: sorted(versions, key=_order) for name, versions in sorted(_paths(home).items())}


def _ways(name: str, here: Iterable[str]) -> str:
    """To a release that is not here."""
    models = load_catalogue().models
    if name in models:
        return f"Build it: zoo build {name}; or get it: zoo pull {name}"
    return f"{did_you_mean(name, {*here, *models})} A registry may have it: zoo pull {name}"


def find_release(home: Home, wanted: str) -> Release:
    """A release by `name` (its newest version) or `name@version`.

    Raises:
        ManifestError: there is none, or its manifest can't be read.
        CatalogueError: there is none, and what could be built can't be told.
    """
    name, _, version = wanted.partition("@")
    known = _paths(home).get(name)
    if known is None:
        raise ManifestError(f"no release {name!r} in {home.root}. {_ways(name, recorded(home))}")
    if version and version not in known:
        there = ", ".join(sorted(known, key=_order))
        raise ManifestError(f"no version {version} of {name} in {home.root}. There: {there}.")
    version = version or max(known, key=_order)
    return read_release(known[version], home.measurements / name / version)
