"""The bundle for a device and its result: two archives (`targets.bundles.archive`) and their lists.

    BUNDLE                                          RESULT
    __main__.py, targets/…   the code               artifacts/NETWORK-PRECISION/…   compiled files
    graphs/…                 one per variant¹       embeddings/NETWORK-PRECISION-query.npy, …-gallery.npy, …-gate.npy
    test/…                   images and labels, also of the gate's split
    reference/…              embeddings in torch

¹ or the artifact itself, see `targets.bundles.packed`

`python3 BUNDLE` runs it on a device with numpy and the runtime, since Python runs an archive's `__main__.py`.
`zoo compile BUNDLE` runs no code of the bundle: its list and arrays are treated as untrusted, and the target is an
installed one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets.bundles.archive import read_archive, read_list
from targets.bundles.pixels import unpack
from targets.bundles.retrieval import Labelled
from targets.contract import find_runtime
from targets.errors import BadBundle, first_line, shorten
from targets.names import NAME, RELEASE
from targets.settings import PRECISIONS, TargetSettings

NETWORKS = ("teacher", "student")
SPLITS = ("query", "gallery")
GATE = "gate"  # the split of held-out training identities, if the recipe has one
BATCH_BYTES = 4 * 2**30  # of pixels; a device holds several copies of it
BUNDLE_LIST, RESULT_LIST = "bundle.json", "result.json"
MAIN = '''"""Compile and measure here: python3 THIS_FILE [RESULT]"""

import sys

from targets.bundles.program import main

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
        """Name of its files and figures."""
        return f"{self.network}-{self.precision}"


@dataclass(frozen=True)
class Bundle:
    """An unpacked bundle.

    Attributes:
        key: see `targets.bundles.archive.read_list`; identifies the bundle in a result.
        release: name@version.
        target: the target's name in the catalogue.
        entry: `module:class` of the target: in the bundle if its own program runs, otherwise an installed one.
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
    variants: tuple[Variant, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that have images."""
        return (*SPLITS, GATE) if (self.folder / f"test/{GATE}.npy").is_file() else SPLITS

    def images(self, places: np.ndarray) -> np.ndarray:
        """Images of the test set, each stored once: uint8 N×H×W×3."""
        return unpack(_array(self.folder / "test/images.npy")[places])

    def places(self, split: str) -> np.ndarray:
        """Indices of the images in a split (`query`, `gallery` or `gate`)."""
        return np.array(_array(self.folder / f"test/{split}.npy"))

    def labelled(self, split: str, embeddings: np.ndarray) -> Labelled:
        """Embeddings of a split with its labels."""
        return Labelled(embeddings, *np.array(_array(self.folder / f"test/{split}-labels.npy")))

    def reference(self, split: str) -> np.ndarray:
        """Embeddings of the student in torch: N×D, rows of length 1."""
        return np.asarray(_array(self.folder / f"reference/{split}.npy"), np.float32)


def _array(path: Path) -> np.ndarray:
    """A memory-mapped array of a bundle: one that claims to be larger than its file takes no memory."""
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - numpy's errors on invalid files have no common base class
        raise ValueError(f"{path.name} is not an array: {first_line(error)}") from None
    if not isinstance(array, np.ndarray):  # numpy also opens archives of arrays
        raise ValueError(f"{path.name} is not an array")
    return array


def require(right: bool, what: str, value: Any) -> None:
    """Check a value of a list: raises ValueError unless `right`."""
    if not right:
        raise ValueError(f"{what}: {value!r:.60}")


def is_count(value: Any) -> bool:
    """Whether it is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_number(value: Any) -> bool:
    """Whether it is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and " ".join(value.split()).isprintable()


def read_settings(content: Any) -> TargetSettings:
    """Read a target's settings from a list; raises ValueError or TypeError if they are invalid."""
    require(isinstance(content, dict), "settings", content)
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    settings = TargetSettings(**{**content, **lists})
    for name in ("runtime", "device", "python", "about", "board", "host"):
        value = getattr(settings, name)
        require(_is_text(value) or (value is None and name in ("board", "host")), name, value)
    require(settings.threads is None or is_count(settings.threads), "threads", settings.threads)
    precisions = settings.precisions
    require(
        precisions is None or (isinstance(precisions, tuple) and {*precisions} <= {*PRECISIONS}),
        "precisions",
        precisions,
    )
    require(isinstance(settings.options, dict), "options", settings.options)
    return settings


def _variants(content: Any, files: Collection[str]) -> tuple[Variant, ...]:
    variants = tuple(Variant(**variant) for variant in content)
    for one in variants:
        require(one.network in NETWORKS, "network", one.network)
        require(one.precision in PRECISIONS, "precision", one.precision)
        require(one.graph in files, "graph", one.graph)
    require(bool(variants) and len({one.name for one in variants}) == len(variants), "variants", content)
    return variants


def check_entry(path: Path, entry: str, settings: TargetSettings, files: Collection[str]) -> None:
    """Check a bundle's target: its own program takes it from the bundle, any other only an installed runtime.

    Raises:
        UnknownRuntime: no installed package provides it.
    """
    module, _, _ = entry.partition(":")
    source = module.replace(".", "/")
    if Path(__file__).parents[2].resolve() == path.resolve() and {f"{source}.py", f"{source}/__init__.py"} & {*files}:
        return
    point = find_runtime(settings.runtime)
    require(entry == f"{point.module}:{point.attr}", f"its target is not the installed {settings.runtime}", entry)


def _check_test_set(bundle: Bundle) -> None:
    images = _array(bundle.folder / "test/images.npy")
    shape = (len(images) if images.ndim else 0, 3, bundle.height, bundle.width)
    require(images.dtype == np.uint8 and images.shape == shape, f"images of {images.dtype}", images.shape)
    for split in bundle.splits:
        places, labels = bundle.places(split), _array(bundle.folder / f"test/{split}-labels.npy")
        right = places.ndim == 1 and places.size and places.dtype.kind in "iu"
        require(bool(right), f"places in {split}, {places.dtype}", places.shape)
        require(0 <= places.min() <= places.max() < len(images), f"places in {split}", (*places[:3].tolist(), ...))
        right = labels.shape == (3, len(places)) and labels.dtype.kind in "iu"
        require(right, f"labels of {split}, {labels.dtype}", labels.shape)


def open_bundle(path: Path, folder: Path) -> Bundle:
    """Verify a bundle byte by byte and unpack it into a new folder.

    Raises:
        BadBundle: see `targets.bundles.archive.read_archive`; or its list is not one that a build writes.
        UnknownRuntime: no installed package provides its runtime.
    """
    about = read_archive(path, BUNDLE_LIST, folder)
    with reading_list(path):
        checked = _checked(about, folder)
        check_entry(path, checked.entry, checked.settings, about["files"])
        _check_test_set(checked)
    return checked


def bundle_needs(path: Path) -> str:
    """What a device needs to run a bundle, in words; empty if it says nothing, or can't be read."""
    try:
        needs = read_list(path, BUNDLE_LIST).get("needs")
    except (BadBundle, OSError):
        return ""
    return shorten(needs) if isinstance(needs, str) and needs.isprintable() else ""


@contextmanager
def reading_list(path: Path) -> Iterator[None]:
    """Turn what is wrong in the list of a bundle into an error that names the file.

    Raises:
        BadBundle: the list says what no build writes.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBundle(
            f"{path.name} is not a bundle this version can read ({first_line(error)}). Build it again."
        ) from None


def check_shared(about: Mapping[str, Any]) -> None:
    """Check the fields that bundles of every kind have.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, or has a value that no build writes.
    """
    for name, pattern in (("release", RELEASE), ("target", NAME)):
        require(bool(pattern.fullmatch(about[name])), name, about[name])
    require(isinstance(about["entry"], str), "entry", about["entry"])
    for name in ("height", "width", "calls"):
        require(is_count(about[name]), name, about[name])
    seconds = about["max_seconds"]
    require(is_number(seconds) and seconds > 0, "max_seconds", seconds)


def _checked(about: Mapping[str, Any], folder: Path) -> Bundle:
    check_shared(about)
    batches = about["batches"]
    require(isinstance(batches, list) and bool(batches) and all(map(is_count, batches)), "batches", batches)
    require(max(batches) * about["height"] * about["width"] * 3 <= BATCH_BYTES, "batches", batches)
    return Bundle(
        folder=folder,
        key=about["key"],
        release=about["release"],
        target=about["target"],
        settings=read_settings(about["settings"]),
        entry=about["entry"],
        height=about["height"],
        width=about["width"],
        batches=tuple(batches),
        calls=about["calls"],
        max_seconds=about["max_seconds"],
        variants=_variants(about["variants"], about["files"]),
    )
