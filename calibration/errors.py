"""Errors of calibration.

CalibrationError            what, why, what next
├── TooFewImages            fewer calibration images than the recipe's minimum
└── NotQuantisable          the graph has nothing to quantise, or the library refuses it
"""

from targets.errors import ZooError


class CalibrationError(ZooError):
    """Root of the calibration errors that a user can fix."""


class TooFewImages(CalibrationError):
    """There are fewer calibration images than the recipe's minimum."""


class NotQuantisable(CalibrationError):
    """A graph can't be quantised."""
