"""Locations of files: the user's catalogue, and the folder that holds everything zoo writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

CATALOGUE = "zoo.yaml"
PREBUILT = "prebuilt"  # folder of the releases that come with zoo


def shipped_catalogue() -> Path:
    """The catalogue that comes with zoo: inside the package, or at the root of a checkout."""
    packaged = Path(str(files("zoo"))) / CATALOGUE
    return packaged if packaged.exists() else packaged.parent.parent / CATALOGUE


def shipped_releases() -> Path:
    """The registry that comes with zoo: `ZOO_PREBUILT`, inside the package, or at the root of a checkout."""
    if named := os.environ.get("ZOO_PREBUILT"):
        return Path(named).absolute()
    packaged = Path(str(files("zoo"))) / PREBUILT
    return packaged if packaged.is_dir() else packaged.parent.parent / PREBUILT


def user_catalogue() -> Path | None:
    """`ZOO_CATALOGUE`, or the nearest zoo.yaml in this folder and its parents."""
    if named := os.environ.get("ZOO_CATALOGUE"):
        return Path(named)
    try:
        here = Path.cwd()
    except OSError:  # the folder was removed
        return None
    return next((path for folder in (here, *here.parents) if (path := folder / CATALOGUE).is_file()), None)


@dataclass(frozen=True)
class Home:
    """`ZOO_HOME`; else `.zoo` beside the user's zoo.yaml; else `~/.zoo`."""

    root: Path

    @classmethod
    def find(cls) -> Home:
        """The home that applies here."""
        if named := os.environ.get("ZOO_HOME"):
            return cls(Path(named).absolute())
        catalogue = user_catalogue()
        return cls((catalogue.absolute().parent if catalogue else Path.home()) / ".zoo")

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> Home:
        """The home in a folder, whatever the current folder is."""
        return cls(Path(folder).expanduser().absolute())

    @property
    def catalogue(self) -> Path | None:
        """`ZOO_CATALOGUE`, or the zoo.yaml beside it, if any."""
        if named := os.environ.get("ZOO_CATALOGUE"):
            return Path(named)
        beside = self.root.parent / CATALOGUE
        return beside if beside.is_file() else None

    @property
    def store(self) -> Path:
        """Results of stages, by content."""
        return self.root / "store"

    @property
    def weights(self) -> Path:
        """Pretrained weights, ARCHITECTURE.safetensors: `ZOO_WEIGHTS`, or a folder of this home."""
        named = os.environ.get("ZOO_WEIGHTS")
        return Path(named).expanduser().absolute() if named else self.root / "weights"

    @property
    def releases(self) -> Path:
        """One link per release, to a result of the stage `record`."""
        return self.root / "releases"

    @property
    def pulled(self) -> Path:
        """One link per release that was pulled, into the cache."""
        return self.root / "pulled"

    @property
    def cache(self) -> Path:
        """Files from registries, by content."""
        return self.root / "cache"

    @property
    def measurements(self) -> Path:
        """Measurements that were added on this machine, by release."""
        return self.root / "measurements"

    @property
    def bundles(self) -> Path:
        """Archives to take to a device."""
        return self.root / "bundles"

    @property
    def builds(self) -> Path:
        """Inputs of the latest build of each model, to report what changed since."""
        return self.root / "builds"

    @property
    def data(self) -> Path:
        """Data sets that are drawn, and the fingerprints of all."""
        return self.root / "data"

    @property
    def emulated(self) -> Path:
        """Files of emulated machines; may be removed at any time."""
        return self.root / "emulated"
