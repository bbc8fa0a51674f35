"""The schemas of a registry's manifests. They are never rewritten there: a published manifest never changes."""

from __future__ import annotations

from zoo.errors import ManifestError, RegistryError
from zoo.registry.places import Place
from zoo.registry.publish import read_index, read_parsed
from zoo.sanitize import one_line


def schemas(place: Place) -> tuple[dict[str, int], dict[str, str]]:
    """Schemas of all manifests by name@version, and why others can't be read.

    Raises:
        RegistryError: the registry can't be reached, or has no index.
    """
    found, unreadable = dict[str, int](), dict[str, str]()
    for name, versions in read_index(place).releases.items():
        for version, listed in versions.items():
            label = f"{name}@{version}"
            try:
                found[label] = read_parsed(place, label, listed)[1].schema
            except (ManifestError, RegistryError) as error:
                unreadable[label] = one_line(str(error))
    return found, unreadable
