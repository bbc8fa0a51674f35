"""Results of stages, by the content of their inputs.

    STORE/<stage>/<key>/            a finished result, with `stage.json`: inputs, time and duration
    STORE/unfinished/<stage>-<key>/ a running stage: `out` becomes the result in one rename; `scratch` survives a kill
    STORE/builds/                   results that running builds need (`pipeline.engine.claims`)
    STORE/cache/                    caches of runtimes

A key is the digest of everything that a result depends on (see `pipeline.engine.step`). Results never change.
"""

from __future__ import annotations

import errno
import json
import logging
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
logger = logging.getLogger("zoo.engine")


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_below(error: OSError, place: Path) -> bool:
    """Whether an error names a file in a folder."""
    return isinstance(error.filename, str) and Path(error.filename).absolute().is_relative_to(place.absolute())


def explain(error: OSError, place: Path) -> StoreError:
    """The user's error for a failed read or write below `place`."""
    where = error.filename or place
    if error.errno in FULL:
        elsewhere = error.filename and not is_below(error, place)
        mend = "Free some" if elsewhere else "Free some, or set ZOO_HOME to another disk"
        return StoreError(
            f"no space left while writing {where if elsewhere else f'below {place}'} ({error.strerror}). {mend}; then "
            "run the command again to continue from the last finished stage or checkpoint."
        )
    if error.errno == errno.ENOENT and is_below(error, place) and len(parts := _parts(error, place)) > 2:
        return StoreError(f"{where} is missing. Remove {place.joinpath(*parts[:2])} to run its stage again.")
    return StoreError(f"can't use {where}: {error.strerror}. Check its owner and mode, or set ZOO_HOME elsewhere.")


def _parts(error: OSError, place: Path) -> tuple[str, ...]:
    return Path(error.filename).absolute().relative_to(place.absolute()).parts


def read_record(folder: Path) -> dict[str, Any]:
    """Ingredients of a result, `finished_at` (UTC) and `seconds`.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, folder) from None
    except ValueError:
        raise StoreError(f"{folder / RECORD} is damaged. Remove {folder} to run the stage again.") from None
    return content


def _sync(folder: Path) -> None:
    """Flush the files of a folder to disk, so that a rename never precedes their content."""
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
        """Folder of running stages."""
        return self.root / "unfinished"

    @property
    def own_folders(self) -> tuple[str, ...]:
        """Names that are not stages."""
        return (self.unfinished_folder.name, self.cache.name, CLAIMS)

    @property
    def cache(self) -> Path:
        """Files that runtimes keep to start faster; may be removed at any time."""
        return self.root / "cache"

    def folder(self, stage: str, key: str) -> Path:
        """Folder of a stage's result, present or future."""
        return self.root / stage / key

    def has(self, stage: str, key: str) -> bool:
        """Whether the result exists."""
        try:
            return (self.folder(stage, key) / RECORD).exists()
        except OSError as error:
            raise explain(error, self.root) from None

    def work_folders(self, stage: str, key: str) -> tuple[Path, Path]:
        """Folders `out` and `scratch` of a stage that another process of this build is running.

        Raises:
            StoreError: it is not running here.
        """
        folder = self.unfinished_folder / f"{stage}-{key}"
        for _ in range(SHARED_SECONDS):
            if folder.name in os.listdir(folder.parent) and (folder / "scratch").is_dir():  # noqa: PTH208
                return folder / "out", folder / "scratch"
            sleep(1)  # network file systems cache the absence of a file for a while
        raise StoreError(
            f"{folder}, where the build's main process works, is missing. ZOO_HOME must be one folder that all "
            "machines share."
        )

    def unfinished(self, stage: str, key: str) -> str:
        """State of an unfinished result of an earlier build, in words; empty if there is none."""
        folder = self.unfinished_folder / f"{stage}-{key}"
        if not folder.exists():
            return ""
        resumes = any((folder / "scratch").glob("**/checkpoints/[!.]*"))
        return "did not finish" + (", continues from its last checkpoint" if resumes else "")

    @contextmanager
    def produce(self, stage: str, key: str, ingredients: dict[str, Any]) -> Iterator[tuple[Path, Path] | None]:
        """Folders `out` and `scratch` for a stage; when the block succeeds, `out` becomes the result.

        None if another build made the result meanwhile. If another build is still running the stage, an error says so,
        without waiting. A kill leaves `scratch` as it was. Errors of the block that do not concern the store are
        re-raised unchanged.
        """
        final = self.folder(stage, key)
        unfinished = self.unfinished_folder / f"{stage}-{key}"
        out, scratch = unfinished / "out", unfinished / "scratch"
        lock = FileLock(unfinished.with_suffix(".lock"))
        try:
            with lock.acquire(blocking=False):
                if self.has(stage, key):
                    logger.debug("%s/%s: another build made it meanwhile", stage, key)
                    yield None
                    unfinished.with_suffix(".lock").unlink(missing_ok=True)
                    return
                shutil.rmtree(final, ignore_errors=True)  # damaged: its record is missing
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                scratch.mkdir(exist_ok=True)
                final.parent.mkdir(parents=True, exist_ok=True)
                begun = monotonic()
                logger.debug("%s/%s: works in %s", stage, key, unfinished)
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
                f"another build is running {stage} {key[:12]}. Wait for it; this build will use its result."
            ) from None
        except OSError as error:
            if not self._blames(error):
                raise
            raise explain(error, self.root) from None

    def _blames(self, error: OSError) -> bool:
        """Whether an error inside a stage concerns the store, not the stage, its data or a library."""
        if error.errno in FULL:
            return True
        lost = error.errno == errno.ENOENT and is_below(error, self.unfinished_folder)  # not written by the stage
        return is_below(error, self.root) and not lost
