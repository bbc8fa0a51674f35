"""From a folder of images to lists of (path, identity, camera): one loader for every data set.

A data set is described by a pattern that finds identity and camera in a path, and by where its three splits lie.
VeRi-776, Market-1501 and a folder of one's own differ in nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import field_validator, model_validator
from typing_extensions import Self

from pipeline.data.fingerprint import fingerprint
from pipeline.data.samples import Index, Samples
from pipeline.data.splits import Row, Split, find_rows, valid_pattern
from pipeline.errors import DataError
from pipeline.settings import Settings


class Dataset(Settings):
    """How a data set lies on disk.

    `pattern` finds identity and camera in a path; a split's list may name them instead. `cameras: false` says that the
    set knows no cameras: then only the query's own image does not count as an answer. `license` is told with every
    release that was trained on the set.
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
            groups = {*re.compile(self.pattern).groupindex, *re.compile(split.line or "").groupindex}
            missing = [group for group in wanted if group not in groups]
            if missing:
                raise ValueError(
                    f"{name}: needs the named groups (?P<identity>…) and (?P<camera>…) in the pattern, or in the "
                    f"split's line; without {', '.join(missing)}. A set without cameras says so: cameras: false"
                )
        return self


def _without_singletons(rows: list[Row], dataset: Dataset) -> list[Row]:
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
    train, query, gallery = (
        find_rows(root, split, dataset.pattern, dataset.cameras)
        for split in (dataset.train, dataset.query, dataset.gallery)
    )
    train = _without_singletons(train, dataset)

    numbers = {key: n for n, key in enumerate(sorted({row.identity for row in train + query + gallery}))}
    cameras = {key: n for n, key in enumerate(sorted({row.camera for row in train + query + gallery}))}

    def samples(rows: list[Row]) -> Samples:
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
