"""From a folder of images to lists of (path, identity, camera): one loader for every data set.

A data set is described by a pattern that finds identity and camera in a path, and by where its three splits lie.
VeRi-776, Market-1501 and a folder of one's own differ in nothing else.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from pydantic import field_validator

from pipeline.data.fingerprint import fingerprint
from pipeline.errors import DataError
from pipeline.settings import Settings

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Split(Settings):
    """Which images belong to a split: those below a folder, or those that a list file names, one path a line."""

    folder: str = ""
    names: str | None = None


class Dataset(Settings):
    """How a data set lies on disk."""

    path: str
    pattern: str
    train: Split
    query: Split
    gallery: Split
    draw: Literal["toycars"] | None = None
    singletons: Literal["error", "drop"] = "error"
    unanswerable: Literal["error", "skip"] = "error"

    @field_validator("pattern")
    @classmethod
    def _names_groups(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        missing = [name for name in ("identity", "camera") if name not in groups]
        if missing:
            raise ValueError(f"needs the named groups (?P<identity>…) and (?P<camera>…); without {', '.join(missing)}")
        return pattern


@dataclass(frozen=True)
class Samples:
    """Images of one split.

    `identities` and `cameras` are int64 arrays as long as `paths`; equal numbers mean equal names across all splits of
    a data set. `labels` numbers the identities of this split 0 … n-1, for a classifier.
    """

    root: Path
    paths: tuple[str, ...]
    identities: np.ndarray
    cameras: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def identity_count(self) -> int:
        """Number of different identities."""
        return len(np.unique(self.identities))

    @property
    def labels(self) -> np.ndarray:
        return np.unique(self.identities, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Index:
    """The three splits of a data set and the digest of everything in them."""

    train: Samples
    query: Samples
    gallery: Samples
    fingerprint: str


@dataclass(frozen=True)
class _Row:
    path: str
    identity: str
    camera: str


def _listed(root: Path, split: Split) -> list[str]:
    """Paths of a split, relative to the root, in a fixed order."""
    folder = root / split.folder
    if not folder.is_dir():
        raise DataError(
            f"no folder {folder}. Expected the data set in {root}: set --data-root or ZOO_DATA to the folder above it."
        )
    if split.names is None:
        below = os.path.relpath(folder, root)
        found = []
        for place, _, names in os.walk(folder):  # strings: a set may have fifty thousand images
            inside = os.path.normpath(os.path.join(below, os.path.relpath(place, folder)))  # noqa: PTH118
            prefix = "" if inside == "." else inside.replace(os.sep, "/") + "/"
            found += [prefix + name for name in names if name.lower().endswith(SUFFIXES)]
        return sorted(found)
    listing = root / split.names
    try:
        lines = listing.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the list {listing}: {error}") from None
    return [str(PurePosixPath(split.folder) / line.strip()) for line in lines if line.strip()]


def _rows(root: Path, split: Split, pattern: re.Pattern[str]) -> list[_Row]:
    rows = []
    for path in _listed(root, split):
        match = pattern.search(path)
        if match and match["identity"] and match["camera"]:
            rows.append(_Row(path, match["identity"], match["camera"]))
        elif split.names is not None:
            raise DataError(f"{split.names} names {path}, which the pattern {pattern.pattern!r} does not match.")
    if not rows:
        raise DataError(f"no image below {root / split.folder} matches the pattern {pattern.pattern!r}.")
    return rows


def _without_singletons(rows: list[_Row], dataset: Dataset) -> list[_Row]:
    counts = Counter(row.identity for row in rows)
    single = [row for row in rows if counts[row.identity] < 2]
    if single and dataset.singletons == "error":
        raise DataError(
            f"identity {single[0].identity} has one training image ({single[0].path}; {len(single)} such): the triplet "
            "loss needs two. Add images, or set `singletons: drop` in the data set."
        )
    return [row for row in rows if counts[row.identity] >= 2]


def _check_answers(query: Samples, gallery: Samples, dataset: Dataset) -> None:
    elsewhere: dict[int, set[int]] = {}
    for identity, camera in zip(gallery.identities.tolist(), gallery.cameras.tolist(), strict=True):
        elsewhere.setdefault(identity, set()).add(camera)
    lost = [
        path
        for path, identity, camera in zip(query.paths, query.identities.tolist(), query.cameras.tolist(), strict=True)
        if not elsewhere.get(identity, set()) - {camera}
    ]
    if lost and (dataset.unanswerable == "error" or len(lost) == len(query)):
        remedy = "" if len(lost) == len(query) else " Remove it, or set `unanswerable: skip` in the data set."
        raise DataError(
            f"query {lost[0]} has no right answer: the gallery holds its identity under no other camera "
            f"({len(lost)} of {len(query)} queries).{remedy}"
        )


def open_dataset(
    name: str, dataset: Dataset, data_root: Path, drawn_root: Path, announce: Callable[[str], None] = lambda _: None
) -> Index:
    """Find the images of a data set and check that it can be trained and tested on.

    Args:
        data_root: folder that holds data sets; `dataset.path` is relative to it.
        drawn_root: where a data set that is drawn (`draw:`) is kept.
        announce: told before something that takes seconds.

    Raises:
        DataError: missing folder or list, identities with one training image, queries without a right answer.
    """
    if dataset.draw == "toycars":
        from pipeline.data import toycars

        root = drawn_root / f"{dataset.path}-v{toycars.VERSION}"
        if not root.exists():
            announce(f"drawing {toycars.IDENTITIES} vehicles into {root}")
            toycars.draw(root)
    else:
        root = data_root / dataset.path
        if not root.is_dir():
            raise DataError(
                f"no folder {root} for data set {name!r}. Put the data there, or point --data-root (or ZOO_DATA) "
                f"at the folder that holds {dataset.path}/."
            )
    pattern = re.compile(dataset.pattern)
    train = _without_singletons(_rows(root, dataset.train, pattern), dataset)
    query = _rows(root, dataset.query, pattern)
    gallery = _rows(root, dataset.gallery, pattern)

    numbers = {key: n for n, key in enumerate(sorted({row.identity for row in train + query + gallery}))}
    cameras = {key: n for n, key in enumerate(sorted({row.camera for row in train + query + gallery}))}

    def samples(rows: list[_Row]) -> Samples:
        return Samples(
            root=root,
            paths=tuple(row.path for row in rows),
            identities=np.array([numbers[row.identity] for row in rows], np.int64),
            cameras=np.array([cameras[row.camera] for row in rows], np.int64),
        )

    splits = {"train": samples(train), "query": samples(query), "gallery": samples(gallery)}
    shared = set(splits["train"].identities.tolist()) & set(splits["query"].identities.tolist())
    if shared:
        example = next(row for row in query if numbers[row.identity] in shared)
        raise DataError(
            f"{len(shared)} identities of data set {name!r} are both trained on and queried (first: {example.path}): "
            "figures would flatter. Make the splits disjoint."
        )
    _check_answers(splits["query"], splits["gallery"], dataset)
    rows = {"train": train, "query": query, "gallery": gallery}
    what = [(split, row.path, row.identity, row.camera) for split, some in rows.items() for row in some]
    return Index(**splits, fingerprint=fingerprint(root, what, drawn_root / "fingerprints"))
