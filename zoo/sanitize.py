"""Sanitises untrusted input: text without terminal control characters or secrets, and JSON of bounded size."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

USER = re.compile(r"(\b(?:https?|ftp|s3|hf)://)[^\s/'\"<>]*@", re.IGNORECASE)
QUERY = re.compile(r"(\bhttps?://[^\s?#'\"<>]+)\?[^\s'\"<>)]+", re.IGNORECASE)
DEEPEST, LONGEST, LARGEST = 32, 10_000, 2**53  # levels, characters, largest exact integer of a float


def printable(text: str) -> str:
    """Text with control and unprintable characters replaced by question marks; line breaks are kept."""
    return text if text.isprintable() else "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def one_line(text: str) -> str:
    """`printable`, on one line."""
    return printable(" ".join(text.split()))


def without_secrets(text: str) -> str:
    """Text whose URLs have neither user and password nor a query, which may hold a signature."""
    return QUERY.sub(r"\1?…", USER.sub(r"\1…@", text))


def _plain(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"it has more than {DEEPEST} levels of nesting")
    match value:
        case str():
            if len(value) > LONGEST:
                raise ValueError(f"a text has {len(value)} characters; the limit is {LONGEST}")
            return printable(value)
        case int() if abs(value) > LARGEST:
            raise ValueError("an integer has more than 53 bits")
        case list():
            return [_plain(one, depth + 1) for one in value]
        case dict():
            return {_plain(key, depth): _plain(one, depth + 1) for key, one in value.items()}
    return value


def parse_json(content: bytes | str) -> Any:
    """Parse JSON; every text in it is `printable`.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a text or a number that is too long.
    """
    try:
        return _plain(json.loads(content), 0)
    except RecursionError:
        raise ValueError(f"it has more than {DEEPEST} levels of nesting") from None


def finite(value: Any) -> Any:
    """A value with null for what JSON can't represent: NaN and the infinities."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
