"""The release that a model starts from: found here or pulled, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.networks.factory import Network
from pipeline.networks.released import Released, read_description
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from targets.files import sha256
from zoo.catalogue import Catalogue
from zoo.catalogue.derived import FROM, Inherited
from zoo.errors import ManifestError, NoRegistry, RegistryError
from zoo.home import Home
from zoo.layout import NETWORK
from zoo.registry.opening import open_registry
from zoo.registry.pull import pull
from zoo.release.lineage import Ancestor
from zoo.release.local import Release, find_release


@dataclass(frozen=True)
class Parent:
    """A release whose network is here and intact."""

    release: Release

    @property
    def network(self) -> Released:
        """Files of its network."""
        return Released.of(self.release.path.parent / NETWORK)

    @property
    def inherited(self) -> Inherited:
        """Its recipe."""
        return Inherited(self.release.manifest.label, self.release.manifest.recipe)

    @property
    def ancestors(self) -> tuple[Ancestor, ...]:
        """It, and the releases it started from, the nearest first."""
        manifest = self.release.manifest
        own = Ancestor(
            name=manifest.name,
            version=manifest.version,
            manifest_sha256=sha256(self.release.path),
            licenses=manifest.licenses,
            data=manifest.data.name,
            data_fingerprint=manifest.data.fingerprint,
        )
        return (own, *manifest.ancestors)


def _lacking(release: Release) -> bool:
    """Whether files of its network are not here. A registry has them: `zoo pull` leaves them out unless told."""
    return not all((release.path.parent / path).is_file() for path in _files(release))


def _files(release: Release) -> dict[str, str]:
    """Digests of the files of its network, by path."""
    return {file.path: file.sha256 for file in release.manifest.artifacts if file.path.startswith(f"{NETWORK}/")}


def find_parent(catalogue: Catalogue, home: Home, wanted: str, progress: Progress) -> Parent:
    """Find the release that a model starts from; what is not here is pulled from the registry.

    Args:
        wanted: NAME, NAME@VERSION, NAME@^RANGE. Releases on this machine come before those of the registry.

    Raises:
        ManifestError: it is neither here nor in a registry, or it is damaged.
        RegistryError: the registry has it, and it can't be pulled.
    """
    try:
        here = find_release(home, wanted)
    except ManifestError as why:
        return _intact(_pulled(catalogue, home, wanted, progress, str(why)))
    if _lacking(here):
        label = here.manifest.label
        mend = here.rebuilding or f"Get it: zoo pull {label} --all"
        here = _pulled(catalogue, home, label, progress, f"{label} is here without its network. {mend}")
    return _intact(here)


def _pulled(catalogue: Catalogue, home: Home, wanted: str, progress: Progress, otherwise: str) -> Release:
    """Pull a release with its network.

    Args:
        otherwise: the error if there is no registry to ask.
    """
    try:
        registry = open_registry(catalogue.registry, home, None, require_signature=False)
        return pull(registry, home, wanted, lambda _manifest, _records: (), progress, network=True)
    except NoRegistry:
        raise ManifestError(otherwise) from None
    except RegistryError as error:
        raise RegistryError(f"can't start from {wanted}: {error}") from None


def _intact(release: Release) -> Parent:
    """Check the bytes of its network.

    Raises:
        ManifestError: the release has none, or it was changed.
    """
    label, folder = release.manifest.label, release.path.parent
    files = _files(release)
    if not files:
        raise ManifestError(f"{label} has no network to start from: its manifest lists none. Start from another one.")
    for path, digest in files.items():
        if sha256(folder / path) != digest:
            mend = release.repairing or f"Remove {folder} and get it again: zoo pull {label} --all"
            raise ManifestError(f"{path} of {label} is damaged (sha256). {mend}")
    return Parent(release)


def check_parent(parent: Parent, name: str, recipe: Recipe) -> None:
    """Check that a recipe can start from a release as it says.

    Args:
        name: of the new model.

    Raises:
        ManifestError: it has another architecture, embedding or input, or the new release would replace it.
        WeightsError: the description of its network can't be read.
    """
    label = parent.release.manifest.label
    if f"{name}@{recipe.version}" == label:
        raise ManifestError(
            f"{label} can't start from itself: a release never changes. Give the new model another name, or raise its "
            "version (--set version=…)."
        )
    about = read_description(parent.network.layers)
    wanted: dict[str, Network] = {}
    if recipe.teacher_is_released:
        wanted["teacher"] = recipe.teacher_network
    if recipe.student_is_released:
        wanted["student"] = recipe.network
    for who, network in wanted.items():
        for key, has in about.network.model_dump().items():
            if (asked := getattr(network, key)) != has:
                raise ManifestError(
                    f"the {who} can't start from {label}: its network has {key} {has}, and the recipe asks for "
                    f"{asked}. Leave network.{key} out to take the release's, or start from another release."
                )
    for key, has in about.input.model_dump().items():
        if (asked := getattr(recipe.input, key)) != has:
            raise ManifestError(
                f"{label} takes images with {key} {has}, and the recipe asks for {asked}: a network starts with the "
                f"input that it was trained on. Leave input.{key} out."
            )


def pinned(overrides: Sequence[str], parent: Parent | None) -> list[str]:
    """Overrides with the version that `from` was resolved to, so that the command repeats the build."""
    if parent is None:
        return [*overrides]
    others = [one for one in overrides if one.partition("=")[0].strip() != FROM]
    return [f"{FROM}={parent.release.manifest.label}", *others]
