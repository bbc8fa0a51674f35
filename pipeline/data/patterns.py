"""Regular expressions with named groups: whether one is valid, and why it does not match a path."""

from __future__ import annotations

import re


def valid_pattern(pattern: str | None) -> str | None:
    """Return the pattern.

    Raises:
        ValueError: it is not a regular expression.
    """
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _end_of_group(pattern: str, start: int) -> int:
    """Index of the parenthesis that closes a group whose content starts at `start`."""
    depth, place, in_set = 1, start, False
    while place < len(pattern):
        match pattern[place]:
            case "\\":
                place += 1
            case "[" if not in_set:
                in_set = True
                place += pattern[place + 1 : place + 2] == "^"
                place += pattern[place + 1 : place + 2] == "]"  # directly after [ it is a member of the set
            case "]":
                in_set = False
            case "(" if not in_set:
                depth += 1
            case ")" if not in_set:
                depth -= 1
                if not depth:
                    return place
        place += 1
    return len(pattern)


def blame(pattern: str, path: str) -> str:
    """The one group that keeps a pattern from matching a path, in words; empty if there is no single one.

    `blame(r"(?P<identity>\\d+)_c(?P<camera>\\d+)", "7_cA.jpg")` says that `camera` would be 'A' there.
    """
    for name in ("camera", "identity"):
        begin = pattern.find(head := f"(?P<{name}>")
        if begin < 0:
            continue
        begin += len(head)
        end = _end_of_group(pattern, begin)
        wider = (f"{pattern[:begin]}{content}{pattern[end:]}" for content in (r"[^/_.]+", r"[^/]+?"))
        loose = next(filter(None, (re.search(one, path) for one in wider)), None)
        if loose:
            return f"{name} would be {loose[name]!r} there, which {pattern[begin:end]!r} does not match"
    return ""
