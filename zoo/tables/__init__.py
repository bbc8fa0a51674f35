"""Tables from releases: rows of plain values, which of them are comparable, and how they look.

    rows        what there is to say of a release
    columns     how a value is said, and which way it is better
    protocol    which rows may stand under each other
    comparison  all that was asked for
    search      rows that answer a question
    diff        what changed from one release to another
    formats     how it is printed
    pareto      how it is drawn, in `panels`

What was not measured is in no table of figures.
"""

from zoo.tables.columns import Row
from zoo.tables.comparison import Comparison, compare
from zoo.tables.formats import measurement_table, table
from zoo.tables.rows import (
    broken_rows,
    calibration_rows,
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
