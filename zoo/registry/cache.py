"""Files from registries on this machine: verified blobs, and each index as last seen.

blobs/aa/SHA256          complete and verified
parts/SHA256             incomplete; the next pull resumes it
indexes/SHA256-OF-URL    for work offline, and to detect a registry that was rolled back
releases/DIGEST/…        releases as they are used: files under their own names
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
    """A subfolder of `Home.cache`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, blob: Blob) -> Path:
        """Path of complete content."""
        return self.root / blob.path

    def part(self, blob: Blob) -> Path:
        """Path of incomplete content."""
        return self.root / "parts" / blob.sha256

    def lock(self, blob: Blob) -> FileLock:
        """Only one process fetches it at a time; the system releases the lock if that dies."""
        return self._lock(blob.sha256)

    def release_lock(self, label: str) -> FileLock:
        """Only one process pulls a release at a time."""
        return self._lock(label)

    def _lock(self, name: str) -> FileLock:
        lock = self.root / "locks" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(lock)

    def is_intact(self, blob: Blob) -> bool:
        """Whether it is here and undamaged, byte by byte."""
        path = self.path(blob)
        there = path.is_file() and path.stat().st_size == blob.size_bytes
        return there and sha256(path) == blob.sha256

    def take_in(self, blob: Blob, content: bytes) -> None:
        """Store verified content."""
        self.path(blob).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path(blob), content)

    def last_index(self, url: str) -> Index | None:
        """The last index seen of a registry; None if there is none.

        Raises:
            RegistryError: it is damaged.
        """
        path = self._index(url)
        try:
            return parse_index(path.read_bytes(), url)
        except FileNotFoundError:
            return None
        except RegistryError:
            raise RegistryError(f"the index {path}, last seen of {url}, is damaged. Remove it.") from None

    def see_index(self, url: str, index: Index) -> None:
        """Remember an index.

        Raises:
            RegistryError: it can't be a successor of the last one seen.
        """
        path = self._index(url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                before = self.last_index(url)
                if before is not None and (why := outgrown(before, index)):
                    raise RegistryError(
                        f"the index of {url} {why}. Someone may have restored an old or forged one: nothing was "
                        f"pulled. If its owner confirms that it was set up anew, remove {path}"
                    )
                if before != index:
                    write_bytes(path, index.to_bytes())
        except OSError as error:
            raise RegistryError(
                f"can't write the index of {url} to {path.parent}: {error.strerror or error}. Set ZOO_HOME to a "
                "writable folder."
            ) from None

    def _index(self, url: str) -> Path:
        return self.root / "indexes" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
