"""Values as JSON has them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """A value without what JSON has no number for: NaN and the infinities become null."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(value: Any, indent: int | None = None) -> str:
    """JSON, in ASCII."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)
