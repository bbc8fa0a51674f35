"""Stage results by content: same inputs, same place.

    STORE/<stage>/<key>/            a finished result, with `stage.json`: what it was made from, when, how long it took
    STORE/unfinished/<stage>-<key>/ a stage at work: `out` becomes the result in one rename; `scratch` survives a kill
    STORE/builds/                   what builds at work need (`pipeline.engine.claims`)
    STORE/cache/                    of runtimes

A key is the digest of everything that a result depends on (see `pipeline.engine.step`). Nothing in the store changes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from filelock import FileLock, Timeout

from pipeline.errors import StoreError
from pipeline.files import write_text

RECORD = "stage.json"
CLAIMS = "builds"
SHARED_SECONDS = 60


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_below(error: OSError, place: Path) -> bool:
    """Whether an error names a file in a folder."""
    return isinstance(error.filename, str) and Path(error.filename).absolute().is_relative_to(place.absolute())


def explain(error: OSError, place: Path) -> StoreError:
    """What a user can do about a failed read or write below `place`."""
    where = error.filename or place
    if error.errno in FULL:
        elsewhere = error.filename and not is_below(error, place)
        mend = "Free some" if elsewhere else "Free some, or set ZOO_HOME to another disk"
        return StoreError(
            f"no space left while writing {where if elsewhere else f'below {place}'} ({error.strerror}). {mend}; the "
            "same command goes on from the last finished stage or checkpoint."
        )
    if error.errno == errno.ENOENT and is_below(error, place) and len(parts := _parts(error, place)) > 2:
        return StoreError(f"{where} is missing. Remove {place.joinpath(*parts[:2])}: its stage then runs again.")
    return StoreError(f"can't use {where}: {error.strerror}. Check its owner and mode, or set ZOO_HOME elsewhere.")


def _parts(error: OSError, place: Path) -> tuple[str, ...]:
    return Path(error.filename).absolute().relative_to(place.absolute()).parts


def read_record(folder: Path) -> dict[str, Any]:
    """What a result was made from: ingredients, `finished_at` (UTC), `seconds`.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, folder) from None
    except ValueError:
        raise StoreError(f"{folder / RECORD} is damaged. Remove {folder}; the stage then runs again.") from None
    return content


def _sync(folder: Path) -> None:
    """Flush files of a folder to disk, so that a rename never overtakes their content."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Store:
    """A folder of stage results.

    Raises (every method):
        StoreError: the folder can't be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self.unfinished_folder.mkdir(parents=True, exist_ok=True)
            self.cache.mkdir(exist_ok=True)
        except OSError as error:
            raise explain(error, root) from None

    @property
    def unfinished_folder(self) -> Path:
        """Where stages are at work."""
        return self.root / "unfinished"

    @property
    def own_folders(self) -> tuple[str, ...]:
        """Names beside those of stages."""
        return (self.unfinished_folder.name, self.cache.name, CLAIMS)

    @property
    def cache(self) -> Path:
        """What runtimes keep to start faster; may be removed at any time."""
        return self.root / "cache"

    def folder(self, stage: str, key: str) -> Path:
        """Where the result of a stage lies, or will."""
        return self.root / stage / key

    def has(self, stage: str, key: str) -> bool:
        """Whether the result is there."""
        try:
            return (self.folder(stage, key) / RECORD).exists()
        except OSError as error:
            raise explain(error, self.root) from None

    def work_folders(self, stage: str, key: str) -> tuple[Path, Path]:
        """Folders `out` and `scratch` of a stage that another process of this build is producing.

        Raises:
            StoreError: it is not at work here.
        """
        folder = self.unfinished_folder / f"{stage}-{key}"
        for _ in range(SHARED_SECONDS):
            if folder.name in os.listdir(folder.parent) and (folder / "scratch").is_dir():  # noqa: PTH208
                return folder / "out", folder / "scratch"
            sleep(1)  # network file systems remember for a while that a file was not there
        raise StoreError(
            f"{folder} is not there, which the build's main process works in. ZOO_HOME must be one folder that all "
            "machines share."
        )

    def unfinished(self, stage: str, key: str) -> str:
        """What an earlier build left of a result that it did not finish, in words; empty if nothing."""
        folder = self.unfinished_folder / f"{stage}-{key}"
        if not folder.exists():
            return ""
        resumes = any((folder / "scratch").glob("**/checkpoints/[!.]*"))
        return "did not finish" + (", goes on from its last checkpoint" if resumes else "")

    @contextmanager
    def produce(self, stage: str, key: str, ingredients: dict[str, Any]) -> Iterator[tuple[Path, Path] | None]:
        """Folders `out` and `scratch` for a stage; when the block ends well, `out` becomes the result.

        None if the result is there by now: another build made it. While another build is still making it, this one
        does not wait, it is told. A kill leaves `scratch` as it was. Errors of the block that are none of the store's
        go through as they are.
        """
        final = self.folder(stage, key)
        unfinished = self.unfinished_folder / f"{stage}-{key}"
        out, scratch = unfinished / "out", unfinished / "scratch"
        lock = FileLock(unfinished.with_suffix(".lock"))
        try:
            with lock.acquire(blocking=False):
                if self.has(stage, key):
                    yield None
                    unfinished.with_suffix(".lock").unlink(missing_ok=True)
                    return
                shutil.rmtree(final, ignore_errors=True)  # damaged: it has lost its record
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                scratch.mkdir(exist_ok=True)
                final.parent.mkdir(parents=True, exist_ok=True)
                begun = monotonic()
                yield out, scratch
                record = {
                    **ingredients,
                    "finished_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    "seconds": round(monotonic() - begun, 1),
                }
                write_text(out / RECORD, json.dumps(record, indent=2) + "\n")
                _sync(out)
                out.rename(final)
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.with_suffix(".lock").unlink(missing_ok=True)
        except Timeout:
            raise StoreError(
                f"another build is at work on {stage} {key[:12]}. Wait for it; what it makes will serve this one too."
            ) from None
        except OSError as error:
            if not self._blames(error):
                raise
            raise explain(error, self.root) from None

    def _blames(self, error: OSError) -> bool:
        """Whether an error inside a stage is one of the store: else it is of the stage, its data or a library."""
        if error.errno in FULL:
            return True
        lost = error.errno == errno.ENOENT and is_below(error, self.unfinished_folder)  # what the stage did not write
        return is_below(error, self.root) and not lost
