"""What goes to a device and what comes back: two archives (`targets.archive`) and what their lists say.

    BUNDLE                                          RESULT
    __main__.py, targets/…   the code               artifacts/NETWORK-PRECISION/…   what was compiled
    graphs/…                 one per variant        embeddings/NETWORK-PRECISION-query.npy, …-gallery.npy
    test/…                   images and labels
    reference/…              embeddings in torch

`python3 BUNDLE` on a device with numpy and the runtime is all it takes: Python runs an archive's `__main__.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets.archive import read_archive
from targets.errors import BadBundle
from targets.pixels import unpack
from targets.retrieval import Labelled
from targets.settings import TargetSettings

BUNDLE_LIST, RESULT_LIST = "bundle.json", "result.json"
MAIN = '''"""Compile and measure here: python3 THIS_FILE [RESULT]"""

import sys

from targets.program import main

main(sys.argv[0], *sys.argv[1:])
'''


@dataclass(frozen=True)
class Variant:
    """A network in a precision: `graph` is its file in the bundle."""

    network: str
    precision: str
    graph: str

    @property
    def name(self) -> str:
        """As files and figures of it are called."""
        return f"{self.network}-{self.precision}"


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle.

    Attributes:
        key: see `targets.archive.read_list`; a result says which bundle it is of.
        release: name@version.
        target: the target's name in the catalogue.
        entry: `module:class` of the target, in the bundle itself.
        max_map_drop_points: what small numbers may cost.
    """

    folder: Path
    key: str
    release: str
    target: str
    settings: TargetSettings
    entry: str
    height: int
    width: int
    batches: tuple[int, ...]
    calls: int
    max_seconds: float
    max_map_drop_points: float
    variants: tuple[Variant, ...]

    def images(self, places: np.ndarray) -> np.ndarray:
        """Images of the test set, which has every one once: uint8 N×H×W×3."""
        return unpack(np.load(self.folder / "test/images.npy", mmap_mode="r")[places])

    def places(self, split: str) -> np.ndarray:
        """Which of the images a split (`query` or `gallery`) consists of."""
        places: np.ndarray = np.load(self.folder / f"test/{split}.npy")
        return places

    def labelled(self, split: str, embeddings: np.ndarray) -> Labelled:
        """Embeddings of a split, with its labels."""
        identities, cameras = np.load(self.folder / f"test/{split}-labels.npy")
        return Labelled(embeddings, identities, cameras)

    def reference(self, split: str) -> np.ndarray:
        """The student in torch: N×D, rows of length 1."""
        rows: np.ndarray = np.load(self.folder / f"reference/{split}.npy").astype(np.float32)
        return rows


def _settings(content: dict[str, Any]) -> TargetSettings:
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    return TargetSettings(**{**content, **lists})


def open_bundle(path: Path, folder: Path) -> Bundle:
    """Check a bundle byte by byte and unpack it into a new folder.

    Raises:
        BadBundle: see `targets.archive.read_archive`.
    """
    about = read_archive(path, BUNDLE_LIST, folder)
    try:
        if not all(isinstance(about[name], str) for name in ("release", "target", "entry")):
            raise TypeError("names that are no text")
        return Bundle(
            folder=folder,
            key=about["key"],
            release=about["release"],
            target=about["target"],
            settings=_settings(about["settings"]),
            entry=about["entry"],
            height=about["height"],
            width=about["width"],
            batches=tuple(about["batches"]),
            calls=about["calls"],
            max_seconds=about["max_seconds"],
            max_map_drop_points=about["max_map_drop_points"],
            variants=tuple(Variant(**variant) for variant in about["variants"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBundle(f"{path.name} is no bundle that this zoo understands ({error}). Build it again.") from None
