"""Rows of tables as cells of HTML: texts of `zoo.tables`, with what the style sheet needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zoo.sanitize import one_line
from zoo.tables.columns import BESIDE, COLUMNS, MEASURED, Row, shown
from zoo.tables.protocol import Group

Link = Callable[[str], str | None]


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller text behind it, its classes, and where it leads."""

    text: str
    small: str = ""
    kind: str = ""
    link: str | None = None


@dataclass(frozen=True)
class HtmlTable:
    """A table with its protocol below it."""

    headings: list[Cell]
    rows: list[list[Cell]]
    caption: str
    lines: list[str] = field(default_factory=list)


def no_link(_: str) -> None:
    """Leads nowhere."""


def _kind(row: Row, key: str) -> str:
    return "text" if COLUMNS[key].kind != "number" else "void" if COLUMNS[key].timed and row.get("void") else "number"


def gate_verdict(row: Row, gates: Mapping[str, float | None]) -> str:
    """Whether a row's drop of mAP is within the gate of its release; empty if nothing is known."""
    gate, drop = gates.get(row["model"]), row["map_drop_points"]
    if gate is None or drop is None or row["precision"] == "fp32":
        return ""
    return "over" if drop > gate else "within"


def state(row: Row) -> str:
    """Why the times of a row do not count, and who reported it, in words; empty for the publisher's own that count."""
    why = f"void: throttled by {row['void']}" if row["void"] else f"unsteady: {row['doubt']}" if row["doubt"] else ""
    who = f"{row['standing']}, reported by {row['reported_by']}" if row["standing"] else ""
    return "; ".join(filter(None, (why, who.removeprefix("reported, "))))


def measured_table(group: Group, gates: Mapping[str, float | None], link: Link = no_link) -> HtmlTable:
    """A table of `zoo compare`: all rows of a protocol, with the columns that have figures.

    Args:
        gates: the limit on the mAP lost, by release.
        link: where the name of a release leads; a column of names is there if it leads somewhere.
    """
    keys = group.columns
    if "map_float" in keys:  # the drop stands beside the two it is the difference of
        keys = [one for key in keys for one in ((key, "map_drop_points") if key == "map" else (key,))]
    named = any(link(row["model"]) for row in group.rows)
    keys = [*["model"] * named, *keys, "calls", *["state"] * any(map(state, group.rows))]
    best = group.best

    def cell(place: int, row: Row, key: str) -> Cell:
        if key == "model":
            return Cell(one_line(row["model"]), kind="text", link=link(row["model"]))
        if key == "state":
            return Cell(one_line(state(row)), kind="text state")
        text, small, kind = one_line(shown(row, key)), "", _kind(row, key)
        if key == "map_drop_points":
            kind += f" {gate_verdict(row, gates)}"
            known = row["map_drop_low"] is not None
            small = f"{row['map_drop_low']:.2f}…{row['map_drop_high']:.2f}" if known else ""
            small += " over the gate" if gate_verdict(row, gates) == "over" else ""
        if key == "ratio_to_dense" and None not in (row["ratio_low"], row["ratio_high"]):
            small = f"{row['ratio_low']:.2f}…{row['ratio_high']:.2f}"
        kind += " best" if place in best.get(key, ()) else ""
        kind += " doubt" if COLUMNS[key].timed and row["doubt"] else ""
        return Cell(text, small, kind)

    known = {**MEASURED, **BESIDE}
    headings = {"state": "state", "calls": "n"}
    texts = {key for key in keys if key == "state" or known[key].kind != "number"}
    heads = [Cell(headings.get(key) or known[key].heading, kind="text" if key in texts else "") for key in keys]
    rows = [[cell(place, row, key) for key in keys] for place, row in enumerate(group.rows)]
    lines = [one_line(line) for line in (group.how, *group.notes)]
    data = group.first["dataset"]
    return HtmlTable(heads, rows, one_line(f"{data}: {group.where}" if data else group.where), lines)


def plain_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> HtmlTable:
    """A table of values that are texts or numbers already.

    Args:
        words: how many columns are texts, the first.
    """
    cells = [
        [
            value if isinstance(value, Cell) else Cell(one_line(str(value)), kind="text" if at < words else "number")
            for at, value in enumerate(row)
        ]
        for row in rows
    ]
    columns = range(len(headings))
    texts = [all(row[at].kind.startswith("text") for row in cells) if cells else at < words for at in columns]
    heads = [Cell(text, kind="text" if left else "number") for text, left in zip(headings, texts, strict=True)]
    return HtmlTable(heads, cells, caption)
