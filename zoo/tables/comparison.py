"""All records of some releases, on the devices that were asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.catalogue.problems import did_you_mean
from zoo.errors import CompareError
from zoo.release.local import Release
from zoo.tables.columns import BESIDE, MEASURED, Row
from zoo.tables.protocol import Group, apart, grouped, names_of
from zoo.tables.rows import broken_rows, emulated_rows, estimated_rows, measurement_rows, pending_rows

KEYS = ("model", *MEASURED, *(key for key in BESIDE if key != "model"))  # of a measurement's row, in this order


@dataclass(frozen=True)
class Comparison:
    """What is printed: tables of measured figures, and separately what is estimated, emulated, pending or broken."""

    groups: list[Group]
    estimated: list[Row] = field(default_factory=list)
    emulated: list[Row] = field(default_factory=list)
    pending: list[Row] = field(default_factory=list)
    broken: list[Row] = field(default_factory=list)

    @property
    def apart(self) -> str | None:
        """Why there are several tables."""
        return apart(self.groups)

    @property
    def beside(self) -> list[Row]:
        """What was not measured on a device."""
        return [*self.estimated, *self.emulated, *self.pending, *self.broken]

    @property
    def rows(self) -> list[Row]:
        """Rows of all tables."""
        return [row for group in self.groups for row in group.rows]


def compare(
    releases: Sequence[Release], device: str | None = None, aliases: Mapping[str, str] | None = None
) -> Comparison:
    """All records of some releases.

    Args:
        device: words of the device's or target's name, or an alias of the target.
        aliases: other names of targets.

    Raises:
        CompareError: no record is of that device.
    """
    rows = measurement_rows(releases)
    beside = [estimated_rows(releases), emulated_rows(releases), pending_rows(releases), broken_rows(releases)]
    if device is not None:
        rows, *beside = on_device([rows, *beside], device, aliases or {})
    return Comparison(grouped(rows), *beside)


def on_device(kinds: Sequence[Sequence[Row]], device: str, aliases: Mapping[str, str]) -> list[list[Row]]:
    """Rows whose device or target has, for each word of `device`, a word that begins with it.

    Args:
        kinds: measured rows first, then those that were not measured.

    Raises:
        CompareError: no row matches.
    """
    wanted = _words(device)

    def fits(row: Row) -> bool:
        names = (row["target"], row.get("device", ""), *(name for name, to in aliases.items() if to == row["target"]))
        found = {word for name in names for word in _words(name)}
        return bool(wanted) and all(any(word.startswith(start) for word in found) for start in wanted)

    kept = [[row for row in rows if fits(row)] for rows in kinds]
    if not any(kept):
        measured, *others = kinds
        said = dict.fromkeys(f"{row['target']} ({row['kind']})" for rows in others for row in rows)
        there = "; ".join([*names_of(measured), *said])
        raise CompareError(f"nothing was measured on {device!r}. Measured: {there or 'nothing yet'}.")
    return kept


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def check_column(name: str) -> str:
    """Return the name of a column of measurements.

    Raises:
        CompareError: there is no such column.
    """
    if name not in KEYS:
        near = did_you_mean(name[:100], KEYS)
        hint = f"{near} " if near.startswith("Did") else ""  # otherwise it lists all of them
        raise CompareError(f"no column {name[:100]!r}. {hint}See zoo search --help for the columns.")
    return name


def by_column(rows: Iterable[Row], name: str) -> list[Row]:
    """Rows from best to worst by a column, or ascending if neither end is best; rows without a value come last.

    Raises:
        CompareError: there is no such column.
    """
    column = {**MEASURED, **BESIDE}[check_column(name)]

    def place(row: Row) -> tuple[bool, Any]:
        value = row[name]
        if column.kind == "text":
            return value is None, value or ""
        return value is None, 0 if value is None else -value if column.better == "high" else value

    return sorted(rows, key=place)
