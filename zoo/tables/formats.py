"""Tables for a terminal, as Markdown, CSV and JSON.

In a terminal and in Markdown each table shows only columns that have values, rounded, with the best in bold. CSV and
JSON hold every row and key in full precision, under fixed names (`zoo.tables.comparison.KEYS`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group as Together
from rich.console import RenderableType

from zoo.markdown import escaped
from zoo.markdown import table as markdown_table
from zoo.release.local import Release
from zoo.sanitize import one_line
from zoo.tables.columns import COLUMNS, Column, Row, against_torch, shown
from zoo.tables.comparison import KEYS, Comparison, compare
from zoo.tables.protocol import Group
from zoo.tables.wrapping import BEST, NAMES, Lines, Parts, Shown


def _cell(row: Row, key: str) -> str:
    value = row[key]
    if isinstance(value, list):
        return "\n".join(map(one_line, value))
    return one_line(shown(row, key)) if isinstance(value, str) else shown(row, key)


def _is_text(rows: Sequence[Row], key: str) -> bool:
    return all(isinstance(row[key], str | list) for row in rows)


def table(
    rows: Sequence[Row], columns: Iterable[str], *caption: str, best: Mapping[str, list[int]] | None = None
) -> Parts:
    """A table for a terminal; numbers are right-aligned, a missing one is a dash.

    Headings and long texts wrap; a table that is too wide is printed in parts.

    Args:
        caption: lines below it.
        best: rows whose cell is bold, by column; the caption explains the bold type.
    """
    best = best or {}
    shown_columns = [
        Shown(
            heading=COLUMNS.get(key, Column(key)).heading,
            cells=[_cell(row, key) for row in rows],
            text=_is_text(rows, key),
            names=key in NAMES,
            bold=best.get(key, []),
        )
        for key in columns
    ]
    return Parts(shown_columns, caption)


def _columns(group: Group, models: int) -> list[str]:
    return ["model"] * (models > 1) + group.columns


def _lines(group: Group) -> list[str]:
    return [group.where, group.how, *group.notes]


def lines_beside(comparison: Comparison) -> list[str]:
    """What was not measured, one line each: estimated, emulated, pending or broken."""

    def cell(row: Row) -> str:
        return f"{row['model']} on {row['target']}, {row['network']} {row['precision']}"

    lines = [
        *(
            f"{cell(row)}: estimated, not measured: mAP {row['map']:.2f}, {against_torch(row['map_drop_points'])}; "
            f"{row['method']}"
            for row in comparison.estimated
        ),
        *(f"{cell(row)}: emulated, not measured: {row['how']}" for row in comparison.emulated),
        *(
            f"{row['model']} on {row['target']}: pending, not measured; {row['command']} makes its bundle"
            for row in comparison.pending
        ),
        *(f"{cell(row)}: broken: {row['reason']}" for row in comparison.broken),
    ]
    return [one_line(line) for line in lines]


def terminal(comparison: Comparison, models: int = 2) -> RenderableType:
    """Tables for a terminal, each with its protocol; then why there are several, and what was not measured.

    Args:
        models: how many models there are; a single one needs no column.
    """
    tables = [
        table(group.rows, _columns(group, models), *_lines(group), best=group.best) for group in comparison.groups
    ]
    said = [comparison.apart] if comparison.apart else []
    return Together(*tables, Lines([*said, *lines_beside(comparison)]))


def measurement_table(releases: Sequence[Release]) -> RenderableType:
    """Teacher and student on each measured target, with a column for the model if there are several."""
    return terminal(replace(compare(releases), pending=[]), len(releases))


def _markdown_table(group: Group) -> str:
    columns = _columns(group, 2)

    def mark(row: int, column: int, cell: str) -> str:
        return f"**{cell}**" if row in group.best.get(columns[column], []) else cell

    return markdown_table(
        [COLUMNS[key].heading for key in columns],
        [[_cell(row, key) for key in columns] for row in group.rows],
        [_is_text(group.rows, key) for key in columns],
        mark,
    )


def markdown(comparison: Comparison) -> str:
    """Tables with their protocols, as GitHub Markdown."""
    parts = []
    for group in comparison.groups:
        where, *rest = map(escaped, [*_lines(group), *[BEST] * bool(group.best)])
        parts += [f"**{where}**", _markdown_table(group), "  \n".join(rest)]
    said = [comparison.apart] if comparison.apart else []
    parts += [escaped(line) for line in [*said, *lines_beside(comparison)]]
    return "\n\n".join(parts) + "\n"


def comma_separated(comparison: Comparison) -> str:
    """CSV with one header and every measured row in full precision; `table` is the number of its protocol.

    A time of a throttled run is empty, and `void` says why. What was not measured has no row (see `lines_beside`).
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, ["table", *KEYS], lineterminator="\n")
    writer.writeheader()
    for number, group in enumerate(comparison.groups, 1):
        writer.writerows({"table": number, **row} for row in group.rows)
    return text.getvalue()


def as_json(comparison: Comparison) -> dict[str, Any]:
    """`{tables: [{protocol, rows, best}], apart, estimated, emulated, pending, broken}`.

    `protocol` holds what is equal in all rows of a table; `rows` hold `KEYS`, with null for missing and void values;
    `best` holds, by column, the indices of the best rows that ship; `apart` says why there are several tables, or null.
    The others were not measured: estimated accuracy (model, target, kind, network, precision, data, map, method,
    map_drop_points), artifacts on an emulated processor (`zoo.tables.rows.emulated_rows`), pending targets (model,
    target, kind, bundle, bundle_sha256), and unsupported precisions (model, target, kind, network, precision, reason,
    runtime, found_at).
    """
    return {
        "tables": [
            {
                "protocol": group.protocol,
                "rows": [{key: row[key] for key in KEYS} for row in group.rows],
                "best": group.best,
            }
            for group in comparison.groups
        ],
        "apart": comparison.apart,
        "estimated": comparison.estimated,
        "emulated": comparison.emulated,
        "pending": comparison.pending,
        "broken": comparison.broken,
    }
