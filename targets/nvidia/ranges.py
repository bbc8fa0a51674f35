"""Ranges of versions, such as `>=10.3,<10.4`. `packaging` has more of them, but devices have numpy only."""

from __future__ import annotations

import re
from dataclasses import dataclass

BOUND = re.compile(r"(>=|<)\s*(\d+(?:\.\d+)*)")
NUMBERS = re.compile(r"\d+(?:\.\d+)*")
Numbers = tuple[int, ...]


def numbers_of(version: str) -> Numbers:
    """The numbers that a version begins with: (10, 3, 0, 26) for `10.3.0.26.post1`.

    Raises:
        ValueError: it begins with none.
    """
    found = NUMBERS.match(version)
    if found is None:
        raise ValueError(f"{version!r} is not a version")
    return tuple(map(int, found[0].split(".")))


def _padded(numbers: Numbers, length: int = 6) -> Numbers:
    return (*numbers, *(0,) * (length - len(numbers)))


@dataclass(frozen=True)
class VersionRange:
    """Versions from `low`, included, up to `high`, excluded; either may be missing."""

    low: Numbers | None = None
    high: Numbers | None = None

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Read `>=10.3,<10.4`, `>=10.3` or `<12`; an empty text is every version.

        Raises:
            ValueError: it is none of these, or contains no version.
        """
        bounds: dict[str, Numbers] = {}
        for part in filter(None, map(str.strip, text.split(","))):
            found = BOUND.fullmatch(part)
            if found is None or found[1] in bounds:
                raise ValueError(f"{text!r} is not a range of versions such as '>=10.3,<10.4'")
            bounds[found[1]] = numbers_of(found[2])
        made = cls(bounds.get(">="), bounds.get("<"))
        if made.low and made.high and _padded(made.low) >= _padded(made.high):
            raise ValueError(f"{text!r} is a range without any version")
        return made

    def __contains__(self, version: str) -> bool:
        found = _padded(numbers_of(version))
        return (not self.low or _padded(self.low) <= found) and (not self.high or found < _padded(self.high))

    def __str__(self) -> str:
        bounds = ((">=", self.low), ("<", self.high))
        return ",".join(f"{sign}{'.'.join(map(str, numbers))}" for sign, numbers in bounds if numbers)

    def overlaps(self, other: VersionRange) -> bool:
        """Whether some version is in both."""
        lows = [_padded(one.low) for one in (self, other) if one.low]
        highs = [_padded(one.high) for one in (self, other) if one.high]
        return not lows or not highs or max(lows) < min(highs)

    def covers(self, other: VersionRange) -> bool:
        """Whether every version of `other` is in this range."""
        low = not self.low or (other.low is not None and _padded(self.low) <= _padded(other.low))
        return low and (not self.high or (other.high is not None and _padded(other.high) <= _padded(self.high)))
