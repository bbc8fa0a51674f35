"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

CHUNK = 2**20  # bytes read at once


def sha256(path: Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
