"""The Pareto front of accuracy and a cost (time, size or energy), over students, since only they ship."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from zoo.tables.columns import COLUMNS, Row

Cost = Literal["p50_ms", "size_bytes", "mj_per_image"]


def drawable(row: Row, cost: Cost = "p50_ms") -> bool:
    """Whether a row has both figures; one that depends on the time must also count."""
    counts = row["doubt"] is None or not COLUMNS[cost].timed
    return counts and None not in (row[cost], row["map"])


def front(rows: Sequence[Row], cost: Cost = "p50_ms") -> list[Row]:
    """Pareto-optimal students, cheapest first: no other is as cheap and more accurate, or as accurate and cheaper. What
    somebody else reported takes part once the publisher has repeated it.

    Rows that are equal in both figures are all on the front, or none of them is.
    """
    best: list[Row] = []
    own = [row for row in rows if row["standing"] != "reported"]
    students = [row for row in own if row["network"] == "student" and drawable(row, cost)]
    for row in sorted(students, key=lambda row: (row[cost], -row["map"])):
        tied = bool(best) and (row[cost], row["map"]) == (best[-1][cost], best[-1]["map"])
        if not best or tied or row["map"] > best[-1]["map"]:
            best.append(row)
    return best
