"""Plots of mAP against latency, one panel per protocol, as PNG or SVG.

The Pareto front is over students, since only they ship; dense networks are drawn hollow, as the baseline. Equal
figures give identical files.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline.files import write_bytes
from targets.installing import install_command
from zoo.errors import CompareError
from zoo.tables.columns import Row
from zoo.tables.protocol import Group

FORMATS = (".png", ".svg")


def check_plot(path: Path) -> None:
    """Check that a plot can be written, before any other work.

    Raises:
        CompareError: the extension is not supported, the folder does not exist, or matplotlib is missing.
    """
    if path.suffix.lower() not in FORMATS:
        raise CompareError(f"can't draw {path.name!r}: use a name that ends in {' or '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise CompareError(f"can't write {path}: the folder {path.parent} does not exist.")
    if find_spec("matplotlib") is None:
        raise CompareError(f"plots need matplotlib, which is not installed. Run: {install_command('plot')}")


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


def plot(groups: Sequence[Group], path: Path) -> None:
    """Draw mAP on the device against p50 latency of one call at the smallest batch. Void and unsteady figures are left
    out, and the plot says how many.

    Raises:
        CompareError: see `check_plot`; no row has both figures; or the file can't be written.
    """
    check_plot(path)
    panels = [(group, front(group.rows)) for group in groups if any(map(drawable, group.rows))]
    if not panels:
        raise CompareError("there is nothing to draw: no row has both mAP and a valid p50.")
    from zoo.tables.panels import drawn

    try:
        write_bytes(path, drawn(panels, path.suffix.lower().removeprefix(".")))
    except OSError as error:
        raise CompareError(f"can't write {path}: {error.strerror}.") from None
