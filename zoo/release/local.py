"""Releases on this machine: built here, or pulled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.catalogue import load_catalogue
from zoo.catalogue.problems import did_you_mean
from zoo.errors import CatalogueError, ManifestError
from zoo.home import Home
from zoo.layout import MANIFEST, MEASUREMENTS, SCHEMA
from zoo.release.command import recorded_command
from zoo.release.manifest import Manifest
from zoo.release.measurements import (
    Broken,
    Emulated,
    Estimated,
    Measured,
    Measurement,
    Pending,
    merged,
    read_measurements,
)
from zoo.release.reading import Parsed, read_parsed
from zoo.release.unmeasured import newest_emulated
from zoo.release.versions import newest, order
from zoo.sanitize import one_line


@dataclass(frozen=True)
class Release:
    """A release with its measurements on this machine.

    Attributes:
        path: of its manifest; the release's files lie beside it.
        schema: of the manifest's file; an older one is converted when it is read.
    """

    path: Path
    manifest: Manifest
    measurements: list[Measurement]
    schema: int = SCHEMA

    @property
    def is_old(self) -> bool:
        """Whether its manifest has an older schema."""
        return self.schema < SCHEMA

    @property
    def rebuilding(self) -> str:
        """How to record it again if it was built here; empty if it was pulled.

        The store treats a record as complete as long as its folder exists, so the folder has to be removed first.
        """
        return _rebuilding(self.path, self.manifest.rebuild) if is_built(self.path) else ""

    @property
    def repairing(self) -> str:
        """How to repair its files, hard links to those of stages, if it was built here; empty if it was pulled."""
        store = self.path.parent.resolve().parents[1]
        way = f"Remove record, compile, export and compact in {store}, and build it again: {self.manifest.rebuild}"
        return way if is_built(self.path) else ""

    @property
    def measured(self) -> list[Measured]:
        """Figures."""
        return [one for one in self.measurements if isinstance(one, Measured)]

    @property
    def estimated(self) -> list[Estimated]:
        """Estimated accuracy, where it was not measured yet."""
        known = {(one.target, one.network, one.precision) for one in self.measured if one.accuracy}
        estimates = [one for one in self.measurements if isinstance(one, Estimated)]
        return [one for one in estimates if (one.target, one.network, one.precision) not in known]

    @property
    def emulated(self) -> list[Emulated]:
        """What ran on an emulated processor: the newest record of each artifact, processor and runtime."""
        return newest_emulated(self.measurements)

    @property
    def pending(self) -> list[Pending]:
        """Targets whose device has not run yet."""
        return [one for one in self.measurements if isinstance(one, Pending)]

    @property
    def broken(self) -> list[Broken]:
        """Precisions that a target does not support."""
        return [one for one in self.measurements if isinstance(one, Broken)]

    @property
    def public(self) -> list[Measurement]:
        """What is published: all records but pending ones, whose bundle stays here."""
        return [one for one in self.measurements if not isinstance(one, Pending)]

    def on(self, target: str) -> list[Measured]:
        """Measured figures on one target."""
        return [one for one in self.measured if one.target == target]


@dataclass(frozen=True)
class Here:
    """All releases on this machine.

    Attributes:
        releases: those that can be read, by name, oldest first.
        damaged: why others can't be read, in a line, by name@version.
    """

    releases: list[Release]
    damaged: dict[str, str]

    @property
    def older(self) -> dict[str, int]:
        """Schemas of manifests that are older than the current one, by name@version."""
        return {one.manifest.label: one.schema for one in self.releases if one.is_old}


def is_built(path: Path) -> bool:
    """Whether the release with the manifest at `path` was built here, and not pulled."""
    releases = path.parent.parent.parent
    return releases == Home(releases.parent).releases


def _rebuilding(path: Path, command: str) -> str:
    return f"Remove {path.parent.resolve()}, and build it again: {command}"


def read_release(path: Path, added: Path | None = None) -> Release:
    """Read the release whose manifest is at `path`.

    Args:
        added: folder of measurements that were made later.

    Raises:
        ManifestError: the manifest or a measurement can't be read; the message says how to fix it.
    """
    label = f"{path.parent.parent.name}@{path.parent.name}"
    mends = {added: f"Remove it and measure again: zoo bench {label}"} if added else {}
    return _read(path, f"Get it again: zoo pull {label}", mends)


def _read(path: Path, mend: str, mends: Mapping[Path, str]) -> Release:
    """Read a release.

    Args:
        mend: what to do about damage, unless it was built here.
        mends: what to do about measurements of other folders, by folder.
    """
    found = _parsed(path, mend)
    if is_built(path):
        mend = _rebuilding(path, found.manifest.rebuild)
    own = {path.parent / MEASUREMENTS: mend}
    records = merged(found.measurements, read_measurements(*own, *mends, mends={**own, **mends}), str(path), mend)
    return Release(path, found.manifest, records, found.schema)


def _parsed(path: Path, mend: str) -> Parsed:
    try:
        return read_parsed(path, mend)
    except ManifestError:
        if not is_built(path):
            raise
    return read_parsed(path, _rebuilding(path, recorded_command(path.parent)))  # it fails again


def read_folder(folder: Path) -> Release:
    """Read the release in any folder.

    Raises:
        ManifestError: there is none, or it can't be read.
    """
    if not (folder / MANIFEST).exists():
        raise ManifestError(f"{folder} is not a release: it has no {MANIFEST}. Name the folder that holds one.")
    return _read(folder / MANIFEST, "Copy the release again from its source.", {})


def _paths(home: Home) -> dict[str, dict[str, list[Path]]]:
    """Manifests by name and version, oldest first; those built here come before those that were pulled."""
    found: dict[str, dict[str, list[Path]]] = {}
    for root in (home.releases, home.pulled):
        for path in root.glob(f"*/*/{MANIFEST}"):
            if not path.parent.name.startswith("."):
                found.setdefault(path.parent.parent.name, {}).setdefault(path.parent.name, []).append(path)
    return {name: {one: found[name][one] for one in sorted(found[name], key=order)} for name in sorted(found)}


def _read_one(paths: Sequence[Path], added: Path) -> Release:
    """The release of one or two manifests.

    Raises:
        ManifestError: one can't be read, or the built and the pulled one differ in content.
    """
    first, *others = (read_release(path, added) for path in paths)
    for other in others:
        if other.manifest.content_sha256 != first.manifest.content_sha256:
            raise ManifestError(
                f"{first.manifest.label} is here twice with different content: built in {first.path.parent}, pulled in "
                f"{other.path.parent}. Remove one of them. zoo.load(FOLDER) accepts either."
            )
    return first


def recorded(home: Home) -> dict[str, list[str]]:
    """Versions of every release on this machine by name, oldest first."""
    return {name: [*versions] for name, versions in _paths(home).items()}


def read_all(home: Home) -> Here:
    """Read all releases on this machine. Damaged ones do not prevent the others from being read."""
    here = Here([], {})
    for name, versions in _paths(home).items():
        for version, paths in versions.items():
            try:
                here.releases.append(_read_one(paths, home.measurements / name / version))
            except ManifestError as error:
                here.damaged[f"{name}@{version}"] = one_line(str(error))
    return here


def _ways(name: str, here: Iterable[str]) -> str:
    """How to get a release that is not here."""
    try:
        catalogue = load_catalogue()
    except CatalogueError as error:
        why = one_line(str(error).splitlines()[0])
        return f"A registry may have it: zoo pull {name}. The catalogue can't be read: {why}"
    models = catalogue.buildable()
    if name in models:
        return f"Build it: zoo build {name}; or get it: zoo pull {name}"
    near = did_you_mean(name, {*here, *models}, {*here, *catalogue.buildable(studies=False)})
    return f"{near} A registry may have it: zoo pull {name}"


def is_here(home: Home, wanted: str) -> bool:
    """Whether NAME, NAME@VERSION or NAME@RANGE means a release on this machine. A damaged one is here, too, and so is
    what is no range, since `find_release` says what is wrong.
    """
    name, _, version = wanted.partition("@")
    known = _paths(home).get(name)
    if known is None:
        return False
    try:
        return _version(name, version, known) is not None
    except ManifestError:
        return True


def find_release(home: Home, wanted: str) -> Release:
    """Find a release by `name` (its newest version), `name@version`, or `name@range` (the newest in the range).

    Raises:
        ManifestError: there is none, or it can't be read.
    """
    name, _, version = wanted.partition("@")
    known = _paths(home).get(name)
    if known is None:
        raise ManifestError(f"no release {name!r} in {home.root}. {_ways(name, recorded(home))}")
    best = _version(name, version, known)
    if best is None:
        raise ManifestError(
            f"no version {version} of {name} in {home.root}. Available: {', '.join(known)}. A registry may have it: "
            f"zoo pull {wanted}"
        )
    return _read_one(known[best], home.measurements / name / best)


def _version(name: str, wanted: str, known: Collection[str]) -> str | None:
    """That exact version; else the newest in the range; without `wanted` the newest of all."""
    if wanted in known or not wanted:
        return wanted or max(known, key=order)
    try:
        return newest(name, known, wanted)
    except ValueError as error:
        raise ManifestError(str(error)) from None
