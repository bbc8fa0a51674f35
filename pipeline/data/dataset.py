"""From a folder of images to lists of (path, identity, camera): one loader for every data set.

A data set is described by a pattern that finds identity and camera in a path, and by the location of its three splits.
VeRi-776, Market-1501 and a folder of one's own differ in nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import field_validator, model_validator
from typing_extensions import Self

from pipeline.data.account import LeftOut, SplitAccount, SplitName
from pipeline.data.checks import Rows, content_problems, copies_of_queries, label_problems, singletons, unanswerable
from pipeline.data.fingerprint import contents, fingerprint
from pipeline.data.patterns import valid_pattern
from pipeline.data.samples import Index, Samples
from pipeline.data.splits import Row, Split, find_split
from pipeline.errors import DataError
from pipeline.settings import Settings


class Dataset(Settings):
    """Layout of a data set on disk.

    `pattern` finds identity and camera in a path; a split's list may name them instead. `cameras: false` means that the
    set has no cameras: then only the query's own image, and copies of it, do not count as answers. `license` is
    recorded in every release that was trained on the set.
    """

    path: str
    license: str = "not stated"
    pattern: str = ""
    cameras: bool = True
    train: Split
    query: Split
    gallery: Split
    draw: Literal["toycars"] | None = None
    singletons: Literal["error", "drop"] = "error"
    unanswerable: Literal["error", "skip"] = "error"

    _pattern_is_one = field_validator("pattern")(valid_pattern)

    @model_validator(mode="after")
    def _names_groups(self) -> Self:
        wanted = ("identity", "camera") if self.cameras else ("identity",)
        for name, split in (("train", self.train), ("query", self.query), ("gallery", self.gallery)):
            groups = {*re.compile(self.pattern).groupindex, *split.groups}
            missing = [group for group in wanted if group not in groups]
            if missing:
                raise ValueError(
                    f"{name}: needs the named groups (?P<identity>…) and (?P<camera>…) in the pattern, or in its line "
                    f"or columns; missing: {', '.join(missing)}. For a set without cameras, set cameras: false"
                )
        return self


@dataclass(frozen=True)
class FoundImages:
    """Images of a data set on disk, with the names of their identities and cameras, and unused files."""

    root: Path
    rows: Rows
    left_out: Mapping[SplitName, tuple[LeftOut, ...]]

    @property
    def paths(self) -> list[str]:
        """Paths of all splits; an image of several splits occurs several times."""
        return [row.path for some in self.rows.values() for row in some]


def dataset_folder(
    name: str, dataset: Dataset, data_root: Path, drawn_root: Path, announce: Callable[[str], None] = lambda _: None
) -> Path:
    """The folder that paths of images are relative to; a data set that is drawn is drawn there first.

    Args:
        data_root, drawn_root, announce: see `open_dataset`.

    Raises:
        DataError: it is not there.
    """
    if dataset.draw == "toycars":
        from pipeline.data import toycars

        root = drawn_root / f"{dataset.path}-v{toycars.VERSION}"
        if not root.exists():
            announce(f"drawing {toycars.IDENTITIES} vehicles into {root}")
            toycars.draw(root)
        return root
    root = data_root / dataset.path
    if not root.is_dir():
        raise DataError(
            f"no folder {root} for data set {name!r}. Put the data there, or set --data-root (or ZOO_DATA) "
            f"to the folder that holds {dataset.path}/."
        )
    return root


def find_dataset(
    name: str, dataset: Dataset, data_root: Path, drawn_root: Path, announce: Callable[[str], None] = lambda _: None
) -> FoundImages:
    """Find the images of a data set, without opening or checking them.

    Args:
        data_root, drawn_root, announce: see `open_dataset`.

    Raises:
        DataError: a folder or list is missing or can't be read, or a split would be empty.
    """
    root = dataset_folder(name, dataset, data_root, drawn_root, announce)
    rows: dict[SplitName, list[Row]] = {}
    left_out: dict[SplitName, tuple[LeftOut, ...]] = {}
    splits: dict[SplitName, Split] = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    for split, settings in splits.items():
        found = find_split(root, settings, dataset.pattern, dataset.cameras)
        rows[split], left_out[split] = found.rows, found.left_out
    if dataset.singletons == "drop" and (single := singletons(rows["train"])):
        alone = {row.path for row in single}
        rows["train"] = [row for row in rows["train"] if row.path not in alone]
        left_out["train"] = (*left_out["train"], LeftOut("singleton", len(single), single[0].path))
    return FoundImages(root, rows, left_out)


def accounts(found: FoundImages, dataset: Dataset, digests: Mapping[str, str]) -> dict[SplitName, SplitAccount]:
    """The account of each split."""
    plain = {
        split: SplitAccount(
            images=len(rows),
            identities=len({row.identity for row in rows}),
            cameras=len({row.camera for row in rows}) if dataset.cameras else None,
            not_used=found.left_out[split],
        )
        for split, rows in found.rows.items()
    }
    return {
        **plain,
        "query": replace(plain["query"], unanswerable=len(unanswerable(found.rows, digests))),
        "gallery": replace(plain["gallery"], copies=len(copies_of_queries(found.rows, digests))),
    }


def _index(found: FoundImages, dataset: Dataset, digests: Mapping[str, str]) -> Index:
    every = [row for rows in found.rows.values() for row in rows]
    numbers = {key: n for n, key in enumerate(sorted({row.identity for row in every}))}
    cameras = {key: n for n, key in enumerate(sorted({row.camera for row in every}))}
    contents = {key: n for n, key in enumerate(sorted(set(digests.values())))}

    def samples(rows: list[Row]) -> Samples:
        return Samples(
            root=found.root,
            paths=tuple(row.path for row in rows),
            identities=np.array([numbers[row.identity] for row in rows], np.int64),
            cameras=np.array([cameras[row.camera] for row in rows], np.int64),
            contents=np.array([contents[digests[row.path]] for row in rows], np.int64),
        )

    # A copy that does not count changes the measurement, and so the digest; other sets keep theirs.
    copies = {row.path for row in copies_of_queries(found.rows, digests)}
    what: list[tuple[str, ...]] = [
        (split, row.path, row.identity, row.camera, *["copy of a query"] * (split == "gallery" and row.path in copies))
        for split, rows in found.rows.items()
        for row in rows
    ]
    return Index(
        train=samples(found.rows["train"]),
        query=samples(found.rows["query"]),
        gallery=samples(found.rows["gallery"]),
        fingerprint=fingerprint(what, digests),
        accounts=accounts(found, dataset, digests),
    )


def open_dataset(
    name: str, dataset: Dataset, data_root: Path, drawn_root: Path, announce: Callable[[str], None] = lambda _: None
) -> Index:
    """Find the images of a data set and check that it can be used for training and test.

    Args:
        data_root: folder that holds data sets; `dataset.path` is relative to it.
        drawn_root: folder of data sets that are drawn (`draw:`).
        announce: called before an operation that takes seconds.

    Raises:
        DataError: missing or unreadable folder or list, identities with one training image, identities or images in
            both training and test, queries without a correct answer, images that can't be decoded.
    """
    found = find_dataset(name, dataset, data_root, drawn_root, announce)
    for problem in label_problems(found.rows, name, dataset):
        raise DataError(problem)
    digests = contents(found.root, found.paths, drawn_root / "fingerprints")
    for problem in content_problems(found.rows, name, dataset, digests):
        raise DataError(problem)
    return _index(found, dataset, digests)
