"""Renew them: `python -m zoo.cli.reference docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.files import write_text
from zoo.cli.reference.pages import (
    schemas,
    with_api,
    with_fields,
    with_jetpacks,
    with_reference,
    with_settings,
    with_shapes,
    with_view,
)

docs = Path(sys.argv[1])
examples = [(docs / f"{kind}.example.json").read_text(encoding="utf-8") for kind in ("manifest", "measurement")]
pages = {
    "api.md": with_api,
    "command-line.md": with_reference,
    "jetson.md": with_jetpacks,
    "export.md": with_view,
    "manifest.md": lambda text: with_fields(text, *examples),
    "recipes.md": with_settings,
    "scripts.md": with_shapes,
}
for name, renew in pages.items():
    write_text(docs / name, renew((docs / name).read_text(encoding="utf-8")))
for name, text in schemas().items():
    write_text(docs / name, text)
