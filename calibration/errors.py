"""Errors of calibration.

CalibrationError            what, why, what next
├── TooFewImages            fewer calibration images than the recipe's minimum
└── NotQuantisable          the graph has nothing to quantise, or the library refuses it
"""


class CalibrationError(Exception):
    """Root of the calibration errors that a user can fix."""


class TooFewImages(CalibrationError):
    """There are fewer calibration images than the recipe's minimum."""


class NotQuantisable(CalibrationError):
    """A graph can't be quantised."""


def first_line(error: Exception) -> str:
    """First line of a library's error; its class if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
