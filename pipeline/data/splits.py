"""Images of a split, with the identity and the camera of each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pipeline.data.account import LeftOut, Tally
from pipeline.data.lists import Group, Groups, listed
from pipeline.data.patterns import blame, valid_pattern
from pipeline.data.suffixes import CONVERT
from pipeline.data.unicode_names import NamesOnDisk, same_form
from pipeline.data.walk import walk
from pipeline.errors import DataError
from pipeline.settings import Settings


class Split(Settings):
    """The images below a folder, or those of a list file with one image per line.

    `line` is for lists that hold more than a path: it finds `path`, and `identity` and `camera` if the list has them;
    lines that do not match (headers, other splits) are skipped. `columns` is for CSV files with a header: it names the
    columns of `path`, `identity` and `camera`. `suffix` is appended to a listed path. `keep` selects one image of each
    identity, drawn with a fixed seed, or all the others.
    """

    folder: str = ""
    names: str | None = None
    line: str | None = None
    columns: dict[Group, str] = Field({}, description="columns of a CSV file, by group")
    suffix: str = ""
    keep: Literal["all", "one", "others"] = "all"

    _line_is_a_pattern = field_validator("line")(valid_pattern)

    @model_validator(mode="after")
    def _fits_a_list(self) -> Self:
        if self.names is None and (self.line or self.suffix or self.columns):
            raise ValueError("line, columns and suffix need a list file: set names")
        if self.line and self.columns:
            raise ValueError("line and columns exclude each other: set one")
        if self.line and "path" not in re.compile(self.line).groupindex:
            raise ValueError("line needs the named group (?P<path>…)")
        if self.columns and "path" not in self.columns:
            raise ValueError("columns needs path, the name of the column that holds paths")
        return self

    @property
    def groups(self) -> set[str]:
        """What a list says besides the path."""
        return {*re.compile(self.line or "").groupindex, *self.columns} - {"path"}


@dataclass(frozen=True)
class Row:
    """An image: its path relative to the data set, and the names of its identity and its camera."""

    path: str
    identity: str
    camera: str


@dataclass(frozen=True)
class Found:
    """Images of a split, in a fixed order, and unused files."""

    rows: list[Row]
    left_out: tuple[LeftOut, ...]


def _below(root: Path, folder: str, tally: Tally) -> list[str]:
    """Images below a folder of a data set."""
    place = root / folder
    prefix = os.path.normpath(folder).replace(os.sep, "/")
    prefix = "" if prefix == "." else f"{prefix}/"
    found = []
    try:
        for path, kind in walk(place):
            if kind == "image":
                found.append(prefix + path)
            else:
                tally.add("suffix" if kind == "unread" else kind, prefix + path)
    except OSError as error:
        raise DataError(
            f"can't read {error.filename}: {error.strerror}. Make it readable, or remove it from {place}."
        ) from None
    return sorted(found)


def _images(root: Path, split: Split, tally: Tally) -> Iterable[tuple[str, Groups]]:
    """Images of a split in a fixed order, with what a list says about each."""
    folder = NamesOnDisk(root).find(split.folder)
    if not (root / folder).is_dir():
        raise DataError(
            f"no folder {root / folder}. Expected the data set in {root}: set --data-root or ZOO_DATA to the folder "
            "above it."
        )
    if split.names is not None:
        return listed(root, split, split.names, tally)
    return ((path, {}) for path in _below(root, folder, tally))


def _kept(rows: list[Row], keep: Literal["one", "others"], tally: Tally) -> list[Row]:
    """One row of each identity, the same at every call, or the others."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.identity, []).append(place)
    random = np.random.default_rng(0)
    drawn = {some[random.integers(len(some))] for some in places.values()}
    kept = []
    for place, row in enumerate(rows):
        if (place in drawn) == (keep == "one"):
            kept.append(row)
        else:
            tally.add("keep", row.path)
    return kept


def _none_found(root: Path, split: Split, pattern: str, unmatched: str, tally: Tally) -> DataError:
    """The error for an empty split."""
    place = root / split.folder
    if split.names is not None:
        matching = f" matches {split.line!r}" if split.line else ""
        return DataError(f"no line of {split.names}{matching} for {place}.")
    if unmatched:
        why = blame(same_form(pattern), same_form(unmatched))
        told = f"; {why}" if why else ""
        return DataError(f"no image matches {pattern!r} for {place}. The first image is {unmatched}{told}.")
    unread = [one for one in tally.left_out if one.reason == "suffix"]
    told = f" {unread[0].count} have unsupported formats, such as {unread[0].example}: {CONVERT}." if unread else ""
    return DataError(f"no images below {place}.{told}")


def find_split(root: Path, split: Split, pattern: str, cameras: bool) -> Found:
    """Images of a split.

    Args:
        pattern: finds `identity` and `camera` in a path, unless a list names them.
        cameras: False if the data set has none; every image is then its own camera.

    Raises:
        DataError: a folder or list is missing or can't be read, a listed path does not match the pattern or is
            repeated, or nothing is found.
    """
    compiled, tally = re.compile(same_form(pattern)), Tally()
    rows, unmatched = [], ""
    for path, said in _images(root, split, tally):
        plain = same_form(path)
        match = compiled.search(plain)
        groups = {**(match.groupdict() if match else {}), **said}
        identity, camera = groups.get("identity"), groups.get("camera") if cameras else path
        if identity and camera:
            rows.append(Row(path, same_form(identity), same_form(camera) if cameras else path))
        elif split.names is not None:
            why = blame(compiled.pattern, plain)
            told = f": {why}" if why else ""
            raise DataError(f"{split.names} lists {path}, which the pattern {pattern!r} does not match{told}.")
        else:
            unmatched = unmatched or path
            tally.add("pattern", path)
    if not rows:
        raise _none_found(root, split, pattern, unmatched, tally)
    return Found(rows if split.keep == "all" else _kept(rows, split.keep, tally), tally.left_out)
