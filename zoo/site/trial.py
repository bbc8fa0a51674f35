"""The panel of a release page that runs its student in the browser: what the site gives to it.

The release page has, in its section `#try`:

- `<div id="try-panel">` with what is said where nothing runs: that the page has to be served, and by which command;
- `<script type="application/json" id="try-settings">` with a `Trial`, whose paths are relative to the page;
- `static/release.js`, which on http(s) imports `static/try/panel.js` (an ES module) and calls its
  `mount(element, settings)`, with the element emptied. On `file://`, where browsers refuse modules and WebAssembly
  files, it imports nothing.

The page's Content-Security-Policy permits scripts, styles, connections, workers and images of the site only, `blob:`
and `data:` images, and 'wasm-unsafe-eval'. Other pages have no WebAssembly. Without `static/try/panel.js` in the
package there is no section.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from zoo.errors import RegistryError
from zoo.layout import GOLDEN_EMBEDDING, GOLDEN_INPUT, GRAPH
from zoo.site.source import Entry

LARGEST = 64 * 2**20  # bytes of a graph; what a browser should be asked to fetch
LARGEST_SMALL = 2**20


class Trial(TypedDict):
    """What the panel needs."""

    release: str
    graph: str  # the student in fp32: uint8 N×H×W×3 RGB → float32 N×D of length 1
    size_bytes: int
    sha256: str
    height: int | None  # of the input, in pixels; null if the recipe does not tell
    width: int | None
    golden_input: str | None  # a PNG of that size
    golden_embedding: str | None  # JSON; `embedding` holds D numbers
    samples: list[dict[str, str]]  # drawn pictures: `file`, and `identity` and `camera` in words


def input_size(recipe: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the input in pixels; None if the recipe does not tell them."""
    told = recipe.get("input")
    sides = [told.get(side) for side in ("height", "width")] if isinstance(told, Mapping) else []
    ints = [one for one in sides if isinstance(one, int) and not isinstance(one, bool) and 16 <= one <= 4096]
    return (ints[0], ints[1]) if len(ints) == 2 else None


def trial_of(entry: Entry, samples: list[dict[str, str]]) -> tuple[Trial, dict[str, bytes]] | str:
    """The settings for a release's page with the files they name, by path in the site; or why there are none.

    Args:
        samples: with paths in the site.
    """
    manifest = entry.release.manifest
    graph = next((one for one in manifest.artifacts if one.path == GRAPH), None)
    if graph is None:
        return "the release has no graph that a browser could run"
    if graph.size_bytes > LARGEST:
        return f"its graph has {graph.size_bytes / 1e6:,.0f} MB; a browser is not asked to fetch more than 67 MB"
    try:
        content = entry.read(GRAPH, LARGEST)
        golden = {path: entry.read(path, LARGEST_SMALL) for path in (GOLDEN_INPUT, GOLDEN_EMBEDDING)}
    except RegistryError:
        content, golden = None, {}
    if content is None or hashlib.sha256(content).hexdigest() != graph.sha256:
        return "its graph was not there when this page was built"
    files = {f"models/{graph.sha256}.onnx": content}
    paths: dict[str, str | None] = {}
    for path, found in golden.items():
        suffix = path.rpartition(".")[2]
        paths[path] = f"models/{hashlib.sha256(found).hexdigest()}.{suffix}" if found else None
        files |= {str(paths[path]): found} if found else {}
    size = input_size(manifest.recipe)
    settings: Trial = {
        "release": manifest.label,
        "graph": f"../models/{graph.sha256}.onnx",
        "size_bytes": graph.size_bytes,
        "sha256": graph.sha256,
        "height": size and size[0],
        "width": size and size[1],
        "golden_input": _above(paths.get(GOLDEN_INPUT)),
        "golden_embedding": _above(paths.get(GOLDEN_EMBEDDING)),
        "samples": [one | {"file": f"../{one['file']}"} for one in samples],
    }
    return settings, files


def _above(path: str | None) -> str | None:
    return path and f"../{path}"


def in_script(values: Any) -> str:
    """JSON that can stand in a script element: no `<`, so nothing in it ends the element or begins a comment."""
    text = json.dumps(values, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
