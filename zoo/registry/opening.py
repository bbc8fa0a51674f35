"""Selects the registry: the command's option, `ZOO_REGISTRY`, zoo.yaml, or the releases that come with zoo."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.catalogue import load_catalogue
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.errors import CatalogueError, NoRegistry
from zoo.home import Home, user_catalogue
from zoo.registry.cache import Cache
from zoo.registry.places import shipped
from zoo.registry.places.by_url import open_place
from zoo.registry.reader import Registry

URL = "ZOO_REGISTRY"  # environment variable


def _beside_catalogue(path: Path) -> Path:
    catalogue = user_catalogue()
    return (catalogue.absolute().parent if catalogue else Path.cwd()) / path.expanduser()


def _configured(settings: RegistrySettings, url: str | None) -> str | None:
    return url or os.environ.get(URL) or settings.url


def registry_url(settings: RegistrySettings, url: str | None) -> str:
    """URL of the registry to change: from the command, the environment, or zoo.yaml.

    Raises:
        NoRegistry: none is configured.
    """
    found = _configured(settings, url)
    if not found:
        raise NoRegistry(
            f"no registry is configured. Name one with --registry, {URL}, or `registry: {{url: …}}` in zoo.yaml: a "
            "folder, s3://BUCKET/FOLDER, hf://datasets/OWNER/NAME or oci://HOST/REPOSITORY."
        )
    return found


def reading_url(settings: RegistrySettings, url: str | None) -> str:
    """URL of the registry to read: `registry_url`, or the releases that come with zoo if none is configured."""
    return _configured(settings, url) or shipped.URL


def uses_shipped() -> bool:
    """Whether no registry is configured, so that the releases that come with zoo apply without being named."""
    if os.environ.get(URL):
        return False
    try:
        return not load_catalogue().registry.url
    except CatalogueError:  # reported by whoever needs it
        return True


def open_registry(settings: RegistrySettings, home: Home, url: str | None, require_signature: bool) -> Registry:
    """Open the registry for reading, see `reading_url`.

    Args:
        url: the command's option.
        require_signature: the command's option; the settings may require one, too.

    Raises:
        RegistryError: the kind of place is unknown.
    """
    named = reading_url(settings, url)
    mirrors = settings.mirrors if named == settings.url else ()
    return Registry(
        [open_place(one) for one in (named, *mirrors)],
        Cache(home.cache),
        [_beside_catalogue(key) for key in settings.keys],
        require_signature or settings.require_signature,
    )
