"""Rows of tables as cells of HTML: texts of `zoo.tables`, with what the style sheet needs to know."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from zoo.sanitize import one_line
from zoo.site.meanings import MEANINGS
from zoo.tables.columns import BESIDE, COLUMNS, MEASURED, NOTHING, Row, shown
from zoo.tables.comparison import Comparison
from zoo.tables.protocol import Group

Link = Callable[[str], str | None]
WAITING = "its device has not measured yet"
BESIDE_HEADINGS = ("release", "target", "network", "state", "mAP %", "mAP lost", "how, or why")
LONG = 36  # characters from which a text is broken into lines


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller text behind it, its classes, where it leads, and what a heading means."""

    text: str
    small: str = ""
    kind: str = ""
    link: str | None = None
    meaning: str = ""


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


def state(row: Row, gates: Mapping[str, float | None]) -> str:
    """What is wrong with a row and who reported it, in words; empty for the publisher's own that is as it should be."""
    why = f"void: throttled by {row['void']}" if row["void"] else f"unsteady: {row['doubt']}" if row["doubt"] else ""
    over = f"over the gate of {gates[row['model']]:g}" if gate_verdict(row, gates) == "over" else ""
    who = f"{row['standing']}, reported by {row['reported_by']}" if row["standing"] else ""
    return "; ".join(filter(None, (why, over, who.removeprefix("reported, "))))


def interval(low: float | None, high: float | None) -> str:
    """The interval of a figure; empty where it is not known or has no width."""
    ends = [] if low is None or high is None else [f"{low:.2f}", f"{high:.2f}"]
    return "…".join(ends) if len(set(ends)) == 2 else ""


def measured_table(
    group: Group, gates: Mapping[str, float | None], link: Link = no_link, without: Collection[str] = ()
) -> HtmlTable:
    """A table of `zoo compare`: all rows of a protocol, with the columns that have figures.

    Args:
        gates: the limit on the mAP lost, by release.
        without: columns to leave out, since the page tells them elsewhere.
        link: where the name of a release leads; a column of names is there if it leads somewhere.
    """
    keys = group.columns
    if "map_float" in keys:  # the drop stands beside the two it is the difference of
        keys = [one for key in keys for one in ((key, "map_drop_points") if key == "map" else (key,))]
    named = any(link(row["model"]) for row in group.rows)
    states = [state(row, gates) for row in group.rows]
    keys = [*["model"] * named, *(key for key in keys if key not in without), "calls", *["state"] * any(states)]
    ships = sum(row["ships"] for row in group.rows)
    best = {key: places for key, places in group.best.items() if len(places) < ships}

    def cell(place: int, row: Row, key: str) -> Cell:
        if key == "model":
            return Cell(one_line(row["model"]), kind="text", link=link(row["model"]))
        if key == "state":
            return Cell(one_line(states[place]), kind="text state")
        text, small, kind = one_line(shown(row, key)), "", _kind(row, key)
        if key == "map_drop_points":
            kind += f" {gate_verdict(row, gates)}"
            small = interval(row["map_drop_low"], row["map_drop_high"])
        if key == "ratio_to_dense":
            small = interval(row["ratio_low"], row["ratio_high"])
        kind += " best" if place in best.get(key, ()) else ""
        kind += " doubt" if COLUMNS[key].timed and row["doubt"] else ""
        return Cell(text, small, kind)

    known = {**MEASURED, **BESIDE}
    headings = {"state": "state", "calls": "n", "ships": "ships"}
    texts = {key for key in keys if key == "state" or known[key].kind != "number"}
    heads = [
        Cell(
            headings.get(key) or known[key].heading, kind="text" if key in texts else "", meaning=MEANINGS.get(key, "")
        )
        for key in keys
    ]
    rows = [[cell(place, row, key) for key in keys] for place, row in enumerate(group.rows)]
    lines = [one_line(line) for line in (group.how, *group.notes)]
    data = group.first["dataset"]
    return HtmlTable(heads, rows, one_line(f"{data}: {group.where}" if data else group.where), lines)


def beside_table(comparison: Comparison, link: Link = no_link) -> HtmlTable:
    """What was not measured: estimated, emulated, pending and broken; with names of releases if they lead somewhere."""
    rows = [
        [
            Cell(one_line(row["model"]), kind="text", link=link(row["model"])) if link(row["model"]) else NOTHING,
            row["target"],
            f"{row['network']} {row['precision']}" if "network" in row else NOTHING,
            row["kind"],
            f"{row['map']:.2f}" if "map" in row else NOTHING,
            f"{row['map_drop_points']:.2f}" if "map_drop_points" in row else NOTHING,
            Cell(one_line(row.get("method") or row.get("how") or row.get("reason") or WAITING), kind="text long"),
        ]
        for row in comparison.beside
    ]
    headings, kept = filled(BESIDE_HEADINGS, rows)
    return plain_table("Not measured", headings, kept, words=headings.index("state") + 1 if kept else 0)


def _cell(text: str, words: bool) -> Cell:
    return Cell(text, kind="number" if not words else "text long" if len(text) > LONG else "text")


def filled(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[list[str], list[list[object]]]:
    """Headings and rows without the columns in which no row has a value."""
    kept = [at for at in range(len(headings)) if not rows or any(row[at] != NOTHING for row in rows)]
    return [headings[at] for at in kept], [[row[at] for at in kept] for row in rows]


def plain_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> HtmlTable:
    """A table of values that are texts or numbers already.

    Args:
        words: how many columns are texts, the first.
    """
    cells = [
        [value if isinstance(value, Cell) else _cell(one_line(str(value)), at < words) for at, value in enumerate(row)]
        for row in rows
    ]
    columns = range(len(headings))
    texts = [all(row[at].kind.startswith("text") for row in cells) if cells else at < words for at in columns]
    heads = [Cell(text, kind="text" if left else "number") for text, left in zip(headings, texts, strict=True)]
    return HtmlTable(heads, cells, caption)
