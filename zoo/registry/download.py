"""Downloads content: in parts, resumed, from any mirror; verified before it gets its name."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tenacity import retry_if_exception_type, retry_if_not_exception_type

from targets.files import sha256
from zoo.errors import RegistryError
from zoo.registry.cache import Cache
from zoo.registry.index import Blob
from zoo.registry.places.patience import retrying
from zoo.registry.places.place import GivenUp, Place
from zoo.sanitize import one_line

logger = logging.getLogger(__name__)
CHUNK = 4 * 2**20
FINAL = (FileNotFoundError, PermissionError, GivenUp, RegistryError)  # a retry would not help


def _fetch_part(place: Place, path: str, start: int, end: int) -> bytes:
    def fetched() -> bytes:
        content = place.fetch(path, start, end)
        if not content:
            raise OSError(None, "the file ends too early")
        return content

    return retrying(retry_if_exception_type(Exception) & retry_if_not_exception_type(FINAL))(fetched)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"can't write {path}: {error.strerror or error}. Free some space, or set ZOO_HOME to another folder."
        ) from None


def _fill(place: Place, blob: Blob, part: Path, moved: Callable[[int], None]) -> None:
    """Append to `part` until it is complete."""
    done = part.stat().st_size
    while done < blob.size_bytes:
        content = _fetch_part(place, blob.path, done, min(done + CHUNK, blob.size_bytes))
        with _writing(part), part.open("ab") as out:
            out.write(content)
        done += len(content)
        moved(len(content))


def _keep(part: Path, path: Path) -> None:
    with _writing(path):
        with part.open("rb") as file:
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)


def fetch(blob: Blob, places: Sequence[Place], cache: Cache, moved: Callable[[int], None]) -> None:
    """Download content to the cache, unless it is there.

    Args:
        places: the registry and its mirrors, in the order of use.
        moved: is called with the number of bytes as they arrive, including those of an earlier attempt.

    Raises:
        RegistryError: no place gives it correctly, or the cache can't be written. Received bytes are kept, and the next
            call resumes.
    """
    with cache.lock(blob):
        if cache.is_intact(blob):
            logger.debug("%s: %d bytes, in the cache", blob.sha256, blob.size_bytes)
            moved(blob.size_bytes)
            return
        part, why, cut = cache.part(blob), [], False
        with _writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
            if part.stat().st_size > blob.size_bytes:
                part.write_bytes(b"")
        moved(part.stat().st_size)
        for place in places:
            there = part.stat().st_size
            logger.debug("%s: %d bytes from %s, %d are here", blob.sha256, blob.size_bytes, place.url, there)
            try:
                _fill(place, blob, part, moved)
            except RegistryError:  # of this machine, so no mirror would help
                raise
            except FileNotFoundError:
                why.append(f"{place.url}: not there")
            except Exception as error:  # noqa: BLE001 - every kind of place has its own errors
                cut = cut or not isinstance(error, GivenUp)
                told = getattr(error, "strerror", None) or str(error) or type(error).__name__
                why.append(f"{place.url}: {one_line(told)}")
            else:
                if sha256(part) == blob.sha256:
                    _keep(part, cache.path(blob))
                    return
                part.write_bytes(b"")
                why.append(f"{place.url}: wrong content (sha256)")
        mend = "Run the command again to resume."
        if not cut:
            mend = "Tell the registry's owner, or use a mirror (registry.mirrors in zoo.yaml)."
        raise RegistryError(f"can't get {blob.sha256[:12]}… ({blob.size_bytes / 1e6:.1f} MB): {'; '.join(why)}. {mend}")
