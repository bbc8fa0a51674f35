"""Selects the registry: the command's option, `ZOO_REGISTRY`, or zoo.yaml."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.catalogue.registry_settings import RegistrySettings
from zoo.errors import NoRegistry
from zoo.home import Home, user_catalogue
from zoo.registry.cache import Cache
from zoo.registry.places.by_url import open_place
from zoo.registry.reader import Registry

URL = "ZOO_REGISTRY"  # environment variable


def _beside_catalogue(path: Path) -> Path:
    catalogue = user_catalogue()
    return (catalogue.absolute().parent if catalogue else Path.cwd()) / path.expanduser()


def registry_url(settings: RegistrySettings, url: str | None) -> str:
    """URL of the registry: from the command, the environment, or zoo.yaml.

    Raises:
        NoRegistry: none is configured.
    """
    found = url or os.environ.get(URL) or settings.url
    if not found:
        raise NoRegistry(
            f"no registry is configured. Set {URL}, or `registry: {{url: …}}` in zoo.yaml: a folder, https://…, "
            "s3://BUCKET/FOLDER, hf://datasets/OWNER/NAME or oci://HOST/REPOSITORY."
        )
    return found


def open_registry(settings: RegistrySettings, home: Home, url: str | None, require_signature: bool) -> Registry:
    """Open the registry for reading.

    Args:
        url: the command's option.
        require_signature: the command's option; the settings may require one, too.

    Raises:
        RegistryError: none is configured, or the kind of place is unknown.
    """
    named = registry_url(settings, url)
    mirrors = settings.mirrors if named == settings.url else ()
    return Registry(
        [open_place(one) for one in (named, *mirrors)],
        Cache(home.cache),
        [_beside_catalogue(key) for key in settings.keys],
        require_signature or settings.require_signature,
    )
