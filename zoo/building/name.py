"""Checks that a build's name is free: one name stands for one content, whether built or pulled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.recipe import Recipe
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.layout import MANIFEST
from zoo.release.manifest import Manifest
from zoo.release.reading import read_manifest


def _pulled(home: Home, name: str, version: str) -> tuple[Path, Manifest | None]:
    """The folder of a pulled release, and its manifest if it is there and can be read."""
    folder = home.pulled / name / version
    try:
        return folder, read_manifest(folder / MANIFEST)
    except ManifestError:
        return folder, None


def _taken(label: str, folder: Path, why: str) -> ManifestError:
    return ManifestError(
        f"{label} was pulled from a registry, but {why}: two releases can't share a name. Raise `version` of the "
        f"model in zoo.yaml, or remove {folder}; finished stages are kept."
    )


def check_name(home: Home, name: str, recipe: Recipe, targets: Iterable[str]) -> None:
    """Check, before hours of training, that a build can lead to the pulled release of the same name.

    Args:
        targets: targets of the build.

    Raises:
        ManifestError: it can't.
    """
    folder, pulled = _pulled(home, name, recipe.version)
    if pulled is None:
        return
    if pulled.recipe != recipe.model_dump(mode="json"):
        raise _taken(pulled.label, folder, "this build has another recipe")
    there = {artifact.target for artifact in pulled.artifacts}
    if new := [target for target in targets if target not in there]:
        raise _taken(pulled.label, folder, f"it has nothing for {', '.join(new)}")


def check_content(home: Home, name: str, version: str, recorded: Path) -> None:
    """Refuse a finished build that has the name of another release.

    Args:
        recorded: path of its manifest in the store.

    Raises:
        ManifestError: a release of this name and version was pulled, and has other content.
    """
    folder, pulled = _pulled(home, name, version)
    if pulled is None:
        return
    built = read_manifest(recorded)
    if pulled.content_sha256 != built.content_sha256:
        raise _taken(built.label, folder, "this build has other content")
