"""What can go wrong between a graph and its small numbers.

CalibrationError            what, why, what next
├── TooFewImages            less than the recipe's minimum to calibrate on
└── NotQuantisable          the graph holds nothing that could be quantised, or the library refuses it
"""


class CalibrationError(Exception):
    """Root of what a user can mend about calibration."""


class TooFewImages(CalibrationError):
    """There are fewer images to calibrate on than the recipe's minimum."""


class NotQuantisable(CalibrationError):
    """A graph can't be quantised."""


def first_line(error: Exception) -> str:
    """What a library says, in a line; its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
