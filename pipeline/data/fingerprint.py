"""The digest of a data set: names, identities, cameras and every byte of every image.

Bytes are read once, and images decoded, so that a broken one is found before training. Afterwards a file counts as
unchanged as long as size, times and inode are the same. The inode's change time can't be set by a user, so content that
was replaced with the same size and modification time is detected.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.data.images import decode
from pipeline.errors import DataError
from pipeline.files import write_text
from targets.errors import first_line

SETTLED_NS = 2 * 10**9  # a file that has just changed may change again within the same clock tick


def _checked(path: str) -> list[str]:
    """sha256 of an image that can be decoded, and how its pixels differ from those in the file."""
    with open(path, "rb") as file:  # noqa: PTH123 - fifty thousand times: strings are much faster than Path objects
        content = file.read()
    changes = decode(BytesIO(content), path).changes
    return [hashlib.sha256(content).hexdigest(), *changes]


def _state(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _known(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def contents(root: Path, names: Iterable[str], cache: Path) -> dict[str, str]:
    """sha256 of the content of each image, by its path relative to `root`.

    Operations while reading, such as rotation, are part of it, so that a change of image reading changes only the
    digests of the data sets whose pixels it changes.

    Raises:
        DataError: a named file is missing, can't be read or is not an image.
    """
    memory = cache / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}-v2.json"
    known = _known(memory)
    paths = {name: os.path.join(root, name) for name in names}  # noqa: PTH118 - see above
    begun = time.time_ns()
    try:
        states = {path: _state(os.stat(place)) for path, place in paths.items()}  # noqa: PTH116 - see above
        stale = [path for path, state in states.items() if known.get(path, [None])[0] != state]
        with ThreadPoolExecutor() as pool:
            digests = dict(zip(stale, pool.map(lambda path: _checked(paths[path]), stale), strict=True))
    except OSError as error:
        raise DataError(
            f"can't read image {error.filename}: {error.strerror or first_line(error)}. Copy it there again, or check "
            "its owner and mode."
        ) from None
    known |= {path: [states[path], digest] for path, digest in digests.items()}
    if stale:
        settled = {path: one for path, one in known.items() if one[0][2] < begun - SETTLED_NS}
        cache.mkdir(parents=True, exist_ok=True)
        write_text(memory, json.dumps(settled))
    return {path: " ".join(known[path][1]) for path in paths}


def fingerprint(rows: Sequence[tuple[str, ...]], digests: Mapping[str, str]) -> str:
    """sha256 over `rows` (split, path, …) and the digests of their files."""
    return hashlib.sha256(json.dumps([[*row, digests[row[1]]] for row in rows]).encode()).hexdigest()
