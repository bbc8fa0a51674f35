"""All that is known of some releases, on the devices that were asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.catalogue.problems import did_you_mean
from zoo.errors import CompareError
from zoo.releases import Release
from zoo.tables.columns import BESIDE, MEASURED, Row
from zoo.tables.protocol import Group, apart, grouped, names_of
from zoo.tables.rows import measurement_rows, pending_rows

KEYS = ("model", *MEASURED, *(key for key in BESIDE if key != "model"))  # of a measurement's row, in this order


@dataclass(frozen=True)
class Comparison:
    """What is printed: tables of figures, and, apart from them, what waits for its device."""

    groups: list[Group]
    pending: list[Row]

    @property
    def apart(self) -> str | None:
        """Why there is more than one table."""
        return apart(self.groups)

    @property
    def rows(self) -> list[Row]:
        """Of all tables."""
        return [row for group in self.groups for row in group.rows]


def compare(
    releases: Sequence[Release], device: str | None = None, aliases: Mapping[str, str] | None = None
) -> Comparison:
    """Everything that was measured of some releases.

    Args:
        device: words of the device's or the target's name, or an alias of the target.
        aliases: further names of targets.

    Raises:
        CompareError: nothing was measured on that device, nor waits for it.
    """
    rows, pending = measurement_rows(releases), pending_rows(releases)
    if device is not None:
        rows, pending = on_device(rows, pending, device, aliases or {})
    return Comparison(grouped(rows), pending)


def on_device(
    rows: Sequence[Row], pending: Sequence[Row], device: str, aliases: Mapping[str, str]
) -> tuple[list[Row], list[Row]]:
    """Rows whose device or target begins a word with each of the words of `device`.

    Raises:
        CompareError: there is none.
    """
    wanted = _words(device)

    def fits(row: Row) -> bool:
        names = (row["target"], row.get("device", ""), *(name for name, to in aliases.items() if to == row["target"]))
        found = {word for name in names for word in _words(name)}
        return bool(wanted) and all(any(word.startswith(start) for word in found) for start in wanted)

    kept, waiting = [row for row in rows if fits(row)], [row for row in pending if fits(row)]
    if not kept and not waiting:
        there = "; ".join([*names_of(rows), *(f"{row['target']} (pending)" for row in pending)])
        raise CompareError(f"nothing was measured on {device!r}. There is: {there or 'nothing yet'}.")
    return kept, waiting


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def check_column(name: str) -> str:
    """The name of a column of measurements.

    Raises:
        CompareError: there is none of that name.
    """
    if name not in KEYS:
        near = did_you_mean(name[:100], KEYS)
        every = f" Columns: {', '.join(KEYS)}." if near.startswith("Did") else ""
        raise CompareError(f"no column {name[:100]!r}. {near}{every}")
    return name


def by_column(rows: Iterable[Row], name: str) -> list[Row]:
    """Rows from best to worst of a column, or from the smallest where no end is best; those without a value are last.

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
