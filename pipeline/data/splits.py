"""Which images belong to a split, with the identity and the camera of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from pydantic import field_validator, model_validator
from typing_extensions import Self

from pipeline.errors import DataError
from pipeline.settings import Settings
from targets.errors import one_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def valid_pattern(pattern: str | None) -> str | None:
    """The pattern itself.

    Raises:
        ValueError: it is no regular expression.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class Split(Settings):
    """The images below a folder, or those that a list file names, one a line.

    `line` is for lists that hold more than a path: it finds `path`, and `identity` and `camera` if they stand there;
    lines that it does not match (headers, other splits) are passed over. `suffix` is put behind a listed path.
    `keep` takes one image of each identity, drawn with a fixed seed, or all the others.
    """

    folder: str = ""
    names: str | None = None
    line: str | None = None
    suffix: str = ""
    keep: Literal["all", "one", "others"] = "all"

    _line_is_a_pattern = field_validator("line")(valid_pattern)

    @model_validator(mode="after")
    def _fits_a_list(self) -> Self:
        if self.names is None and (self.line or self.suffix):
            raise ValueError("line and suffix are for a list: they need names, the list file")
        if self.line and "path" not in re.compile(self.line).groupindex:
            raise ValueError("line needs the named group (?P<path>…)")
        return self


@dataclass(frozen=True)
class Row:
    """An image: its path relative to the data set, and the names of its identity and its camera."""

    path: str
    identity: str
    camera: str


Found = Iterator[tuple[str, dict[str, str]]]  # path, and what else the list says of it


def _below(root: Path, folder: Path) -> list[str]:
    below = os.path.relpath(folder, root)
    found = []
    for place, _, names in os.walk(folder):  # strings: a set may have fifty thousand images
        inside = os.path.normpath(os.path.join(below, os.path.relpath(place, folder)))  # noqa: PTH118
        prefix = "" if inside == "." else inside.replace(os.sep, "/") + "/"
        found += [prefix + name for name in names if name.lower().endswith(SUFFIXES)]
    return sorted(found)


def _named(root: Path, split: Split, names: str) -> Found:
    try:
        lines = (root / names).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read the list {root / names}: {one_line(error)}") from None
    pattern = re.compile(split.line or r"\s*(?P<path>.*\S)")
    for match in filter(None, map(pattern.match, lines)):
        groups = match.groupdict()
        yield str(PurePosixPath(split.folder) / (groups.pop("path") + split.suffix)), groups


def _listed(root: Path, split: Split) -> Found:
    """Images of a split in a fixed order."""
    folder = root / split.folder
    if not folder.is_dir():
        raise DataError(
            f"no folder {folder}. Expected the data set in {root}: set --data-root or ZOO_DATA to the folder above it."
        )
    return ((path, {}) for path in _below(root, folder)) if split.names is None else _named(root, split, split.names)


def _kept(rows: list[Row], keep: Literal["one", "others"]) -> list[Row]:
    """One row of each identity, the same ones at every call, or the others."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.identity, []).append(place)
    random = np.random.default_rng(0)
    drawn = {some[random.integers(len(some))] for some in places.values()}
    return [row for place, row in enumerate(rows) if (place in drawn) == (keep == "one")]


def find_rows(root: Path, split: Split, pattern: str, cameras: bool) -> list[Row]:
    """Images of a split.

    Args:
        pattern: finds `identity` and `camera` in a path, where a list does not name them.
        cameras: false if the data set knows none; every image is then its own camera.

    Raises:
        DataError: a folder or list is missing, a listed path is not what the pattern says, or nothing is found.
    """
    compiled = re.compile(pattern)
    rows = []
    for path, said in _listed(root, split):
        match = compiled.search(path)
        groups = {**(match.groupdict() if match else {}), **said}
        identity, camera = groups.get("identity"), groups.get("camera") if cameras else path
        if match and identity and camera:
            rows.append(Row(path, identity, camera))
        elif split.names is not None:
            raise DataError(f"{split.names} names {path}, which the pattern {pattern!r} does not match.")
    if not rows:
        looked_for = f"line of {split.names} matches {split.line!r}" if split.line else f"image matches {pattern!r}"
        raise DataError(f"no {looked_for} for {root / split.folder}.")
    return rows if split.keep == "all" else _kept(rows, split.keep)
