"""The Pareto front of accuracy and speed, over students, since only they ship."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.tables.columns import Row


def drawable(row: Row) -> bool:
    """Whether a row has both figures and a time that counts."""
    return row["doubt"] is None and None not in (row["p50_ms"], row["map"])


def front(rows: Sequence[Row]) -> list[Row]:
    """Pareto-optimal students, fastest first: no other is as fast and more accurate, or as accurate and faster."""
    best: list[Row] = []
    students = [row for row in rows if row["network"] == "student" and drawable(row)]
    for row in sorted(students, key=lambda row: (row["p50_ms"], -row["map"])):
        if not best or row["map"] > best[-1]["map"]:
            best.append(row)
    return best
