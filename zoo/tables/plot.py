"""Plots of mAP against latency, one panel per protocol, as PNG or SVG.

Dense networks are drawn hollow, as the baseline. Equal figures give identical files.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from targets.installing import install_command
from zoo.errors import CompareError
from zoo.output_file import check_writable, write_file
from zoo.tables.pareto import drawable, front
from zoo.tables.protocol import Group

FORMATS = (".png", ".svg")


def check_plot(path: Path) -> None:
    """Check that a plot can be written, before any other work.

    Raises:
        CompareError: the extension is not supported, or matplotlib is missing.
        OutputError: its folder is missing or not writable.
    """
    if path.suffix.lower() not in FORMATS:
        raise CompareError(f"can't draw {path.name!r}: use a name that ends in {' or '.join(FORMATS)}.")
    check_writable(path)
    if find_spec("matplotlib") is None:
        raise CompareError(f"plots need matplotlib, which is not installed. Run: {install_command('plot')}")


def plot(groups: Sequence[Group], path: Path) -> None:
    """Draw mAP on the device against p50 latency of one call at the smallest batch. Void and unsteady figures are left
    out, and the plot says how many.

    Raises:
        CompareError: see `check_plot`; or no row has both figures.
        OutputError: the file can't be written.
    """
    check_plot(path)
    panels = [(group, front(group.rows)) for group in groups if any(map(drawable, group.rows))]
    if not panels:
        raise CompareError("there is nothing to draw: no row has both mAP and a valid p50. Measure one: zoo bench NAME")
    from zoo.tables.panels import drawn

    write_file(path, drawn(panels, path.suffix.lower().removeprefix(".")))
