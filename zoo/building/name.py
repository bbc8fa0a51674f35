"""Checks that a build's name is free: one name stands for one content, whether built or pulled."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.foreign_recipe import ForeignRecipe
from pipeline.recipe import Recipe
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.layout import MANIFEST
from zoo.registry.shipped import is_shipped
from zoo.release.manifest import Manifest
from zoo.release.reading import read_manifest
from zoo.release.versions import raising


def _pulled(home: Home, name: str, version: str) -> tuple[Path, Manifest | None]:
    """The folder of a pulled release, and its manifest if it is there and can be read."""
    folder = home.pulled / name / version
    try:
        return folder, read_manifest(folder / MANIFEST)
    except ManifestError:
        return folder, None


def _taken(label: str, folder: Path, why: str, foreign: bool) -> ManifestError:
    return ManifestError(
        f"{label} was pulled from a registry, but {why}: two releases can't share a name. {raising(foreign)}, or "
        f"remove {folder}; finished stages are kept."
    )


def _can_give_way(folder: Path, manifest: Manifest) -> bool:
    """Whether a pulled release comes with zoo: whoever builds its name wants the build, and can pull it again."""
    return is_shipped(manifest.name, manifest.version, (folder / MANIFEST).read_bytes())


def check_name(home: Home, name: str, recipe: Recipe | ForeignRecipe, targets: Iterable[str]) -> None:
    """Check, before hours of training, that a build can lead to the pulled release of the same name.

    Args:
        targets: targets of the build.

    Raises:
        ManifestError: it can't.
    """
    folder, pulled = _pulled(home, name, recipe.version)
    if pulled is None or _can_give_way(folder, pulled):
        return
    foreign = isinstance(recipe, ForeignRecipe)
    if pulled.recipe != recipe.model_dump(mode="json"):
        raise _taken(pulled.label, folder, "this build has another recipe", foreign)
    there = {artifact.target for artifact in pulled.artifacts}
    if new := [target for target in targets if target not in there]:
        raise _taken(pulled.label, folder, f"it has nothing for {', '.join(new)}", foreign)


def check_content(home: Home, name: str, version: str, recorded: Path) -> str:
    """Refuse a finished build that has the name of another release; one that comes with zoo gives way.

    Args:
        recorded: path of its manifest in the store.

    Returns:
        A line about the release that gave way; empty if none did.

    Raises:
        ManifestError: a release of this name and version was pulled, and has other content.
    """
    folder, pulled = _pulled(home, name, version)
    if pulled is None:
        return ""
    built = read_manifest(recorded)
    if pulled.content_sha256 == built.content_sha256:
        return ""
    if not _can_give_way(folder, pulled):
        raise _taken(built.label, folder, "this build has other content", bool(built.foreign))
    if folder.is_symlink():
        folder.unlink()  # its files stay in the cache
    else:
        shutil.rmtree(folder)
    return f"{built.label}, as it comes with zoo, was pulled here; from now on the name means this build"
