"""Values as JSON."""

from __future__ import annotations

import json
from typing import Any

from zoo.sanitize import finite


def as_text(value: Any, indent: int | None = None) -> str:
    """Serialise to JSON, in ASCII."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)
