"""mAP against latency: what is fast at which accuracy, a panel per protocol, as PNG or SVG.

The front is of students, since they are what one can ship; the dense network is hollow, as what they are compared with.
Equal figures give equal files.
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
    """See that a plot can be written, before anything else is done.

    Raises:
        CompareError: the name ends in no format that is drawn, its folder is not there, or matplotlib is missing.
    """
    if path.suffix.lower() not in FORMATS:
        raise CompareError(f"can't draw {path.name!r}: a plot ends in {' or '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise CompareError(f"can't write {path}: there is no folder {path.parent}.")
    if find_spec("matplotlib") is None:
        raise CompareError(f"plots are drawn by matplotlib, which is not installed. Run: {install_command('plot')}")


def drawable(row: Row) -> bool:
    """Whether a row has both figures, and its time makes a claim."""
    return row["doubt"] is None and None not in (row["p50_ms"], row["map"])


def front(rows: Sequence[Row]) -> list[Row]:
    """Students of which no other is as fast and more accurate, or as accurate and faster; from the fastest on."""
    best: list[Row] = []
    students = [row for row in rows if row["network"] == "student" and drawable(row)]
    for row in sorted(students, key=lambda row: (row["p50_ms"], -row["map"])):
        if not best or row["map"] > best[-1]["map"]:
            best.append(row)
    return best


def plot(groups: Sequence[Group], path: Path) -> None:
    """Draw mAP on the device against p50 of one call at the smallest batch; void and unsteady figures are left out and
    counted.

    Raises:
        CompareError: see `check_plot`; no row has figures; or the file can't be written.
    """
    check_plot(path)
    panels = [(group, front(group.rows)) for group in groups if any(map(drawable, group.rows))]
    if not panels:
        raise CompareError("there is nothing to draw: no row has both mAP and a p50 that counts.")
    from zoo.tables.panels import drawn

    try:
        write_bytes(path, drawn(panels, path.suffix.lower().removeprefix(".")))
    except OSError as error:
        raise CompareError(f"can't write {path}: {error.strerror}.") from None
