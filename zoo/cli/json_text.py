"""Values as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """A value with null for what JSON can't represent: NaN and the infinities."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(value: Any, indent: int | None = None) -> str:
    """Serialise to JSON, in ASCII."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)
