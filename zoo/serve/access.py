"""One line of JSON for each request, on standard error. Off by default: it tells who asked when."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import TypedDict


class Entry(TypedDict):
    """A request. The query and the headers are left out, which may hold secrets."""

    client: str
    method: str
    path: str
    status: int
    images: int
    """embedded"""
    bytes: int
    """received as a body"""
    ms: float


Log = Callable[[Entry], None]


def silent(_entry: Entry) -> None:
    """No log."""


def to_standard_error(entry: Entry) -> None:
    """Write a line; a reader that is gone ends nothing."""
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps({"time": time, **entry}) + "\n")
        sys.stderr.flush()
