"""Renews the generated documentation: `python -m zoo.cli.reference README.md docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.files import write_text
from zoo.cli.reference.pages import schemas, with_fields, with_reference, with_shapes

readme, docs = map(Path, sys.argv[1:])
write_text(readme, with_reference(readme.read_text(encoding="utf-8")))
scripts = docs / "scripts.md"
write_text(scripts, with_shapes(scripts.read_text(encoding="utf-8")))
examples = [(docs / f"{kind}.example.json").read_text(encoding="utf-8") for kind in ("manifest", "measurement")]
write_text(docs / "manifest.md", with_fields((docs / "manifest.md").read_text(encoding="utf-8"), *examples))
for name, text in schemas().items():
    write_text(docs / name, text)
