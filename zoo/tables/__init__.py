"""Tables from releases: rows of plain values, which of them are comparable, and how they are shown.

    rows        all values of a release
    columns     how a value is formatted, and which end is better
    protocol    which rows are comparable
    comparison  releases on the devices that were asked for
    search      rows that match an expression
    diff        changes from one release to another
    formats     terminal, Markdown, CSV and JSON
    pareto      plots, drawn by `panels`

Tables of figures hold measured values only.
"""

from zoo.tables.columns import Row
from zoo.tables.comparison import Comparison, compare
from zoo.tables.formats import measurement_table, table
from zoo.tables.rows import (
    broken_rows,
    calibration_rows,
    emulated_rows,
    estimated_rows,
    gains,
    measurement_rows,
    pending_rows,
    release_rows,
    saved,
    site_rows,
)

__all__ = [
    "Comparison",
    "Row",
    "broken_rows",
    "calibration_rows",
    "compare",
    "emulated_rows",
    "estimated_rows",
    "gains",
    "measurement_rows",
    "measurement_table",
    "pending_rows",
    "release_rows",
    "saved",
    "site_rows",
    "table",
]
