"""Files of the page, read from a folder or from a bundle, and those that any web page needs to run a network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path, PurePosixPath

PAGE = "measure.html"
SCRIPTS = ("network.js", "embedder.js")
RUNTIME = ("ort/ort.wasm.min.js", "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm")
NOTICES = ("ort/LICENSE", "ort/ThirdPartyNotices.txt", "ort/carried.json")
SERVED = (PAGE, "measure.js", *SCRIPTS, *RUNTIME)


def static_file(name: str) -> bytes:
    """Content of a file below `static/`."""
    return files("targets.browser").joinpath("static", *PurePosixPath(name).parts).read_bytes()


def copy_runtime(folder: Path) -> None:
    """Copy what a web page needs to run networks, with its licenses: it imports `Network` from network.js."""
    for name in (*SCRIPTS, *RUNTIME, *NOTICES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(static_file(name))
