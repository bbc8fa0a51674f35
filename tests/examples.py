"""Writes the examples of docs/manifest.md from a release that is built for them.

`python -m tests.examples`, then `make docs`, renews them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.conftest import Workshop, make_workshop
from zoo.layout import MANIFEST, MEASUREMENTS

DOCS = Path(__file__).parents[1] / "docs"
LONGEST = 3  # items of a list
WIDTH = 110


def shortened(value: Any) -> Any:
    """JSON with long lists reduced to their first and last items."""
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in (value if len(value) <= LONGEST else [value[0], value[-1]])]
    return value


def laid_out(value: Any, indent: str = "", key: str = "") -> str:
    """JSON with everything that fits on one line.

    Args:
        key: with its colon, what stands before the value.
    """
    line = f"{indent}{key}{json.dumps(value)}"
    if not value or not isinstance(value, dict | list) or len(line) < WIDTH:
        return line
    keys = [f"{json.dumps(name)}: " for name in value] if isinstance(value, dict) else [""] * len(value)
    inner = value.values() if isinstance(value, dict) else value
    lines = ",\n".join(laid_out(one, f"{indent}  ", name) for name, one in zip(keys, inner, strict=True))
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{indent}{key}{begin}\n{lines}\n{indent}{end}"


def examples(shop: Workshop) -> dict[str, Any]:
    """Of a workshop in which `tiny` is built: its manifest, and the measurement of what ships, by file name."""
    folder = shop.home / "releases" / "tiny" / "1.0.0"
    (record,) = (folder / MEASUREMENTS).glob("onnxruntime-cpu-student-int8-*.json")
    found = {"manifest.example.json": folder / MANIFEST, "measurement.example.json": record}
    return {name: shortened(json.loads(path.read_text(encoding="utf-8"))) for name, path in found.items()}


if __name__ == "__main__":
    os.environ.setdefault("ZOO_QUIET_SECONDS", "0")  # times of so small a network are meaningless anyway
    with TemporaryDirectory() as scratch:
        shop = make_workshop(Path(scratch) / "workshop")
        shop.build("tiny")
        for name, example in examples(shop).items():
            (DOCS / name).write_text(laid_out(example) + "\n", encoding="utf-8")
