"""What strangers wrote, made plain: text that a terminal only shows, without secrets, and JSON of a sane size."""

from __future__ import annotations

import json
import re
from typing import Any

USER = re.compile(r"(\b(?:https?|ftp|s3|hf)://)[^\s/'\"<>]*@", re.IGNORECASE)
QUERY = re.compile(r"(\bhttps?://[^\s?#'\"<>]+)\?[^\s'\"<>)]+", re.IGNORECASE)
DEEPEST, LONGEST, LARGEST = 32, 10_000, 2**53  # levels, characters, and what a float can still tell from its neighbour


def printable(text: str) -> str:
    """Text in which what would steer a terminal, or can't be shown, is a question mark; line breaks stay."""
    return text if text.isprintable() else "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def one_line(text: str) -> str:
    """`printable`, on one line."""
    return printable(" ".join(text.split()))


def without_secrets(text: str) -> str:
    """Text whose URLs have neither user and password nor query, in which signatures stand."""
    return QUERY.sub(r"\1?…", USER.sub(r"\1…@", text))


def _plain(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    match value:
        case str():
            if len(value) > LONGEST:
                raise ValueError(f"a text of {len(value)} characters, and {LONGEST} are the most")
            return printable(value)
        case int() if abs(value) > LARGEST:
            raise ValueError("a number of more than 53 bits")
        case list():
            return [_plain(one, depth + 1) for one in value]
        case dict():
            return {_plain(key, depth): _plain(one, depth + 1) for key, one in value.items()}
    return value


def parse_json(content: bytes | str) -> Any:
    """JSON, with every text `printable`.

    Raises:
        ValueError: it is none; or is nested too deep, or holds a text or a number too long for any record.
    """
    try:
        return _plain(json.loads(content), 0)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} deep") from None
