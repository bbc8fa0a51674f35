"""Which registry is in force: the one that a command names, or `ZOO_REGISTRY`, or zoo.yaml's."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.catalogue.registry import RegistrySettings
from zoo.errors import NoRegistry
from zoo.home import Home, user_catalogue
from zoo.registry.cache import Cache
from zoo.registry.places import open_place
from zoo.registry.pull import Registry

URL = "ZOO_REGISTRY"  # environment variable


def _beside_catalogue(path: Path) -> Path:
    catalogue = user_catalogue()
    return (catalogue.absolute().parent if catalogue else Path.cwd()) / path.expanduser()


def registry_url(settings: RegistrySettings, url: str | None) -> str:
    """The registry in force: as the command says, or the environment, or zoo.yaml.

    Raises:
        NoRegistry: none of them names one.
    """
    found = url or os.environ.get(URL) or settings.url
    if not found:
        raise NoRegistry(
            f"no registry is named. Set {URL}, or `registry: {{url: …}}` in zoo.yaml: a folder, https://…, "
            "s3://BUCKET/FOLDER or hf://datasets/OWNER/NAME."
        )
    return found


def open_registry(settings: RegistrySettings, home: Home, url: str | None, require_signature: bool) -> Registry:
    """The registry in force, for reading.

    Args:
        url: what the command says.
        require_signature: what the command says; the settings may say so, too.

    Raises:
        RegistryError: none is named, or no such place is known.
    """
    named = registry_url(settings, url)
    mirrors = settings.mirrors if named == settings.url else ()
    return Registry(
        [open_place(one) for one in (named, *mirrors)],
        Cache(home.cache),
        [_beside_catalogue(key) for key in settings.keys],
        require_signature or settings.require_signature,
    )
