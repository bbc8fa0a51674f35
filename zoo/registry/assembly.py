"""From content in the cache to a release's folder: whole before it has its name, repaired where it was damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.files import place_file, write_bytes
from targets.files import sha256
from zoo.layout import MANIFEST, MEASUREMENTS
from zoo.registry.cache import Cache
from zoo.registry.index import Blob
from zoo.release.measurements import Measurement, file_name, to_bytes


def assemble(cache: Cache, content: bytes, records: Sequence[Measurement], files: Sequence[tuple[str, Blob]]) -> Path:
    """Link files under their names in a folder, which gets its own name once complete."""
    listed = repr((hashlib.sha256(content).hexdigest(), sorted(map(file_name, records)), sorted(files, key=str)))
    folder = cache.root / "releases" / hashlib.sha256(listed.encode()).hexdigest()[:32]
    if folder.is_dir():
        _mend(folder, content, records, cache, files)
        return folder
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for path, blob in files:
            place_file(cache.path(blob), fresh / path)
        (fresh / MEASUREMENTS).mkdir(exist_ok=True)
        for record in records:
            (fresh / MEASUREMENTS / file_name(record)).write_bytes(to_bytes(record))
        (fresh / MANIFEST).write_bytes(content)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _mend(
    folder: Path, content: bytes, records: Sequence[Measurement], cache: Cache, files: Sequence[tuple[str, Blob]]
) -> None:
    """Replace files of a folder that were damaged since it was assembled."""
    for path, blob in files:
        if not (folder / path).is_file() or sha256(folder / path) != blob.sha256:
            place_file(cache.path(blob), folder / path)
    small = {f"{MEASUREMENTS}/{file_name(record)}": to_bytes(record) for record in records}
    for path, right in {**small, MANIFEST: content}.items():
        if not (folder / path).is_file() or (folder / path).read_bytes() != right:
            write_bytes(folder / path, right)


def show(folder: Path, link: Path) -> None:
    """Link a release's name to a folder, in one rename."""
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(folder, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target, target_is_directory=True)
    fresh.replace(link)
