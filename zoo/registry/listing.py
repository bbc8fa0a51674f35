"""Releases of a registry as a list or a table needs them: manifests and measurements, no artifacts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from zoo.errors import ManifestError, RegistryError
from zoo.home import Home, shipped_releases
from zoo.registry.cache import Cache
from zoo.registry.index import INDEX, Listed
from zoo.registry.opening import uses_shipped
from zoo.registry.places.shipped import NAME, Shipped
from zoo.registry.pull import read_records
from zoo.registry.reader import Registry
from zoo.registry.resolution import resolve
from zoo.registry.shipped import comes_with_zoo
from zoo.release.local import Release, find_release, is_here
from zoo.release.versions import order
from zoo.sanitize import one_line


@dataclass(frozen=True)
class Offered:
    """Releases of a registry.

    Attributes:
        releases: those that can be read, by name, oldest first, without yanked ones. Their files are not here.
        damaged: why others can't be read, in a line, by name@version.
    """

    releases: list[Release]
    damaged: dict[str, str]


def shipped_registry(home: Home) -> Registry:
    """The releases that come with zoo."""
    return Registry([Shipped()], Cache(home.cache))


def read_offered(registry: Registry, name: str, version: str, listed: Listed) -> Release:
    """A listed release.

    Raises:
        RegistryError: a file of it can't be read, or its signature is invalid.
        ManifestError: its manifest or a measurement is damaged.
    """
    _, parsed = registry.manifest(name, version, listed)
    return Release(
        registry.where(listed.manifest), parsed.manifest, read_records(registry, listed, parsed), parsed.schema
    )


def offered(registry: Registry, say: Callable[[str], None]) -> Offered:
    """All releases of a registry. Damaged ones do not prevent the others from being read.

    Raises:
        NoRegistry: there is none.
        RegistryError: see `Registry.index`.
    """
    found = Offered([], {})
    for name, versions in sorted(registry.index(say).releases.items()):
        for version in sorted(versions, key=order):
            if versions[version].yanked is not None:
                continue
            try:
                found.releases.append(read_offered(registry, name, version, versions[version]))
            except (ManifestError, RegistryError) as error:
                found.damaged[f"{name}@{version}"] = one_line(str(error))
    return found


def find_offered(registry: Registry, wanted: str, say: Callable[[str], None]) -> Release:
    """A release of a registry by NAME, NAME@VERSION or NAME@RANGE.

    Raises:
        RegistryError: there is none, or see `read_offered`.
        ManifestError: see `read_offered`.
    """
    return read_offered(registry, *resolve(registry.index(say), wanted, registry.url))


def shipped_beside(home: Home, here: Collection[str]) -> Offered:
    """Releases that come with zoo and are not on this machine. None if a registry is configured, which takes their
    place, or this installation has none.

    Args:
        here: name@version of the releases on this machine.
    """
    if not (shipped_releases() / INDEX).exists() or not uses_shipped():
        return Offered([], {})
    try:
        found = offered(shipped_registry(home), lambda _: None)
    except RegistryError as error:
        return Offered([], {NAME: one_line(str(error))})
    return Offered([one for one in found.releases if one.manifest.label not in here], found.damaged)


def find_anywhere(home: Home, wanted: str) -> tuple[Release, bool]:
    """A release on this machine, or else one that comes with zoo, unless a registry is configured; and whether it is on
    this machine.

    Raises:
        ManifestError: there is none, or it can't be read.
        RegistryError: it comes with zoo and is damaged.
    """
    if is_here(home, wanted) or not uses_shipped() or not comes_with_zoo(wanted):
        return find_release(home, wanted), True
    return find_offered(shipped_registry(home), wanted, lambda _: None), False
