"""What came from registries, on this machine: blobs that were checked, and each index as it was last seen.

blobs/aa/SHA256          whole and checked
parts/SHA256             on its way; the next pull goes on from there
indexes/SHA256-OF-URL    for work without a network, and to notice a registry that was turned back
releases/DIGEST/…        releases as they are used: files under their names
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from filelock import FileLock

from pipeline.files import write_bytes
from targets.files import sha256
from zoo.errors import RegistryError
from zoo.registry.index import Blob, Index, outgrown, parse_index


class Cache:
    """A folder of its own below `Home.cache`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, blob: Blob) -> Path:
        """Where content lies, or would."""
        return self.root / blob.path

    def part(self, blob: Blob) -> Path:
        """Where it grows."""
        return self.root / "parts" / blob.sha256

    def lock(self, blob: Blob) -> FileLock:
        """One process at a time fetches it; the system lets go when that dies."""
        return self._lock(blob.sha256)

    def release_lock(self, label: str) -> FileLock:
        """One process at a time pulls a release."""
        return self._lock(label)

    def _lock(self, name: str) -> FileLock:
        lock = self.root / "locks" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(lock)

    def is_intact(self, blob: Blob) -> bool:
        """Whether it is here and still what it was, byte by byte."""
        path = self.path(blob)
        there = path.is_file() and path.stat().st_size == blob.size_bytes
        return there and sha256(path) == blob.sha256

    def take_in(self, blob: Blob, content: bytes) -> None:
        """Keep content that was checked."""
        self.path(blob).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path(blob), content)

    def last_index(self, url: str) -> Index | None:
        """The index of a registry as it was last seen; none if it never was.

        Raises:
            RegistryError: it is damaged.
        """
        path = self._index(url)
        try:
            return parse_index(path.read_bytes(), url)
        except FileNotFoundError:
            return None
        except RegistryError:
            raise RegistryError(f"what was seen of {url} before, {path}, is damaged. Remove it.") from None

    def see_index(self, url: str, index: Index) -> None:
        """Remember an index.

        Raises:
            RegistryError: it can't follow on what was seen before.
        """
        path = self._index(url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                before = self.last_index(url)
                if before is not None and (why := outgrown(before, index)):
                    raise RegistryError(
                        f"the index of {url} {why}. Someone may have put an old or a forged one there: nothing was "
                        f"taken. If its keeper says that it was set up anew, remove {path}"
                    )
                if before != index:
                    write_bytes(path, index.to_bytes())
        except OSError as error:
            raise RegistryError(
                f"can't keep the index of {url} in {path.parent}: {error.strerror or error}. Let ZOO_HOME name a "
                "folder that can be written."
            ) from None

    def _index(self, url: str) -> Path:
        return self.root / "indexes" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
