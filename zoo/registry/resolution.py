"""Resolves a release: NAME, NAME@1.2.0, NAME@^1.2."""

from __future__ import annotations

from zoo.catalogue.problems import did_you_mean
from zoo.errors import RegistryError
from zoo.registry.index import Index, Listed
from zoo.release.versions import newest


def resolve(index: Index, wanted: str, url: str) -> tuple[str, str, Listed]:
    """Name, version and entry of the newest match. A yanked one matches only its exact version.

    Raises:
        RegistryError: no release matches.
    """
    name, _, spec = wanted.partition("@")
    versions = index.releases.get(name)
    if not versions:
        hint = "It is empty: publish a release there, or name another registry: --registry URL."
        if index.releases:
            hint = f"{did_you_mean(name, index.releases)} Or name another registry: --registry URL."
        raise RegistryError(f"no release {name!r} in {url}. {hint}")
    if spec in versions:
        return name, spec, versions[spec]
    try:
        best = newest(name, (version for version, listed in versions.items() if listed.yanked is None), spec)
    except ValueError as error:
        raise RegistryError(str(error)) from None
    if best is None:
        shown = [
            f"{version} (yanked: {listed.yanked})" if listed.yanked else version for version, listed in versions.items()
        ]
        raise RegistryError(f"no version {spec or 'at all'} of {name} in {url}. Available: {', '.join(shown)}.")
    return name, best, versions[best]
