"""The digest of a data set: names, identities, cameras and every byte of every image.

Bytes are read once, and images decoded, so that a broken one is found before anything is trained. Afterwards a file
whose size and time of change are as before counts as unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from pipeline.data.images import decode
from pipeline.errors import DataError
from pipeline.files import write_text
from targets.errors import one_line


def _checked(path: str) -> str:
    """sha256 of an image that can be decoded."""
    with open(path, "rb") as file:  # noqa: PTH123 - fifty thousand times: strings are much faster than Path objects
        content = file.read()
    decode(BytesIO(content), path)
    return hashlib.sha256(content).hexdigest()


def fingerprint(root: Path, rows: Sequence[tuple[str, ...]], cache: Path) -> str:
    """sha256 over `rows` (split, path relative to `root`, …) and the content of the files that they name.

    Raises:
        DataError: a named file is not there, can't be read or is no image.
    """
    memory = cache / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    paths = {row[1]: os.path.join(root, row[1]) for row in rows}  # noqa: PTH118 - see above
    try:
        stats = {path: os.stat(place) for path, place in paths.items()}  # noqa: PTH116 - see above
        states = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
        stale = [path for path, state in states.items() if known.get(path, [])[:2] != state]
        with ThreadPoolExecutor() as pool:
            digests = dict(zip(stale, pool.map(lambda path: _checked(paths[path]), stale), strict=True))
    except OSError as error:
        raise DataError(f"can't read image {error.filename}: {error.strerror or one_line(error)}.") from None
    if stale:
        known |= {path: [*states[path], digest] for path, digest in digests.items()}
        cache.mkdir(parents=True, exist_ok=True)
        write_text(memory, json.dumps(known))
    return hashlib.sha256(json.dumps([[*row, known[row[1]][2]] for row in rows]).encode()).hexdigest()
