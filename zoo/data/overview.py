"""The overview of `zoo data`: contents of a data set, and why a build would refuse it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.account import SplitAccount, SplitName
from pipeline.data.checks import content_problems, label_problems, singletons
from pipeline.data.dataset import Dataset, FoundImages, accounts, find_dataset
from pipeline.data.duplicates import Duplicates, Item, exact_duplicates, look_at, near_duplicates
from pipeline.data.fingerprint import contents
from pipeline.data.splits import Row
from pipeline.progress import Progress
from zoo.catalogue import Catalogue
from zoo.home import Home


@dataclass(frozen=True)
class Range:
    """Range of a figure over all images."""

    least: int
    median: float
    most: int


@dataclass(frozen=True)
class Overview:
    """The overview of a data set.

    Attributes:
        images_per_identity: by split: number of identities by their number of images.
        images_per_camera: by split; empty if the data set has no cameras.
        alone: by split, images that are the only one of their identity.
        sizes: number of different image sizes.
        refused: why a build would refuse the data set, in words.
    """

    name: str
    dataset: Dataset
    found: FoundImages
    accounts: Mapping[SplitName, SplitAccount]
    images_per_identity: Mapping[SplitName, Mapping[int, int]]
    images_per_camera: Mapping[SplitName, Mapping[str, int]]
    alone: Mapping[SplitName, Sequence[str]]
    width: Range
    height: Range
    sizes: int
    exact: Duplicates
    near: Duplicates
    refused: Sequence[str]


def named_dataset(catalogue: Catalogue, name: str) -> str:
    """The name of a data set, given its name or that of a model built on it.

    Raises:
        CatalogueError: neither exists, or it is faulty.
    """
    if name not in catalogue.datasets:
        if name in catalogue.models:
            return catalogue.models[name].dataset
        if name in catalogue.starting and (own := catalogue.sources[name].data.get("dataset")) in catalogue.datasets:
            return str(own)
        catalogue.dataset(name)
    return name


def _items(found: FoundImages) -> list[Item]:
    """Each path once, in order."""
    found_items: dict[str, Item] = {}
    for split, rows in found.rows.items():
        for row in rows:
            found_items.setdefault(row.path, Item(row.path, row.identity, split == "train"))
    return [*found_items.values()]


def _range(values: Sequence[int]) -> Range:
    return Range(min(values), float(np.median(values)), max(values))


def _counted(rows: Sequence[Row]) -> dict[int, int]:
    sizes = Counter(Counter(row.identity for row in rows).values())
    return dict(sorted(sizes.items()))


def look(catalogue: Catalogue, home: Home, name: str, data_root: Path, progress: Progress) -> Overview:
    """Inspect a data set.

    Raises:
        CatalogueError: it is unknown or faulty.
        DataError: a folder or list is missing or can't be read, a split is empty, or an image can't be decoded.
        MissingLibrary: the library that compares images is not installed.
    """
    dataset = catalogue.dataset(name)
    found = find_dataset(name, dataset, data_root, home.data, progress.say)
    digests = contents(found.root, found.paths, home.data / "fingerprints")
    items = _items(found)
    different = [*{digests[item.path]: item for item in reversed(items)}.values()][::-1]
    looks = look_at(found.root, [item.path for item in different], progress)

    def refused() -> Iterator[str]:
        yield from label_problems(found.rows, name, dataset)
        yield from content_problems(found.rows, name, dataset, digests)

    cameras = {split: Counter(row.camera for row in rows) for split, rows in found.rows.items()}
    return Overview(
        name=name,
        dataset=dataset,
        found=found,
        accounts=accounts(found, dataset, digests),
        images_per_identity={split: _counted(rows) for split, rows in found.rows.items()},
        images_per_camera={split: dict(sorted(some.items())) for split, some in cameras.items() if dataset.cameras},
        alone={split: [row.path for row in singletons(rows)] for split, rows in found.rows.items()},
        width=_range([one.width for one in looks.values()]),
        height=_range([one.height for one in looks.values()]),
        sizes=len({(one.width, one.height) for one in looks.values()}),
        exact=exact_duplicates(items, digests),
        near=near_duplicates(different, looks),
        refused=[*refused()],
    )
