"""Which releases come with zoo."""

from __future__ import annotations

import hashlib

from zoo.errors import RegistryError
from zoo.home import shipped_releases
from zoo.registry.index import INDEX, Index
from zoo.registry.places.shipped import NAME, Shipped
from zoo.registry.publish import read_index
from zoo.registry.resolution import resolve


def shipped_index() -> Index:
    """Their index; an empty one if this installation has none.

    Raises:
        RegistryError: it is damaged.
    """
    return read_index(Shipped()) if (shipped_releases() / INDEX).exists() else Index()


def comes_with_zoo(wanted: str) -> str | None:
    """NAME@VERSION of the release that NAME, NAME@VERSION or NAME@RANGE stands for; None if there is none.

    Raises:
        RegistryError: their index is damaged.
    """
    index = shipped_index()
    if wanted.partition("@")[0] not in index.releases:
        return None
    try:
        name, version, _ = resolve(index, wanted, NAME)
    except RegistryError:  # no such version
        return None
    return f"{name}@{version}"


def is_shipped(name: str, version: str, manifest: bytes) -> bool:
    """Whether this is the manifest of a release that comes with zoo, which can be pulled again at any time."""
    try:
        listed = shipped_index().find(name, version)
    except RegistryError:
        return False
    return listed is not None and listed.manifest.sha256 == hashlib.sha256(manifest).hexdigest()
