"""Results of a store that active or interrupted builds need, and those that nobody needs any more.

STORE/builds/DIGEST.json    results (stage/key) of one build, from its start until its end
STORE/builds/DIGEST.lock    held while it runs; the system releases it when the process dies
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.engine.plan import Planned
from pipeline.engine.store import CLAIMS, Store, explain, read_record
from pipeline.errors import StoreError
from pipeline.files import write_text

Result = tuple[str, str]  # stage and key


def _turn(store: Store) -> FileLock:
    """Held while results are claimed, and while they are removed."""
    return FileLock(store.root / CLAIMS / "clean.lock")


@contextmanager
def claimed(store: Store, plan: Sequence[Planned]) -> Iterator[None]:
    """Protect the results of a plan from removal: inside the block and, if that fails, afterwards.

    Raises:
        StoreError: a result that the plan relies on was removed since; or the store can't be written.
    """
    if all(planned.hit for planned in plan):  # nothing is written, not even a claim
        yield
        return
    results = sorted({f"{planned.step.stage}/{planned.key}" for planned in plan})
    path = store.root / CLAIMS / f"{hashlib.sha256(repr(results).encode()).hexdigest()[:24]}.json"
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(exist_ok=True)
        with _turn(store):
            write_text(path, json.dumps(results) + "\n")
            with suppress(Timeout):  # the same build in another process holds it for both
                lock.acquire(blocking=False)
    except OSError as error:
        raise explain(error, store.root) from None
    try:
        if gone := [
            planned.step.id for planned in plan if planned.hit and not store.has(planned.step.stage, planned.key)
        ]:
            raise StoreError(f"{gone[0]} was removed from the store meanwhile. Run the command again.")
        yield
        if lock.is_locked:  # otherwise the other process ends it
            path.unlink(missing_ok=True)
    finally:
        if lock.is_locked:
            lock.release()
            with suppress(OSError):
                path.with_suffix(".lock").unlink()


@dataclass(frozen=True)
class Unneeded:
    """Contents of a store that can be removed.

    Attributes:
        results: folders of results by stage and key.
        unfinished: folders left by interrupted stages.
        size_bytes: disk space that is freed; bytes shared with other results or releases stay.
        broken_off: interrupted builds whose needs are ignored.
    """

    results: dict[Result, Path]
    unfinished: list[Path]
    size_bytes: int
    broken_off: list[Path]


def _is_at_work(claim: Path) -> bool:
    lock = FileLock(claim.with_suffix(".lock"))
    try:
        with lock.acquire(blocking=False):
            pass
    except Timeout:
        return True
    with suppress(OSError):
        claim.with_suffix(".lock").unlink()
    return False


def _results(store: Store) -> dict[Result, Path]:
    stages = [path for path in store.root.iterdir() if path.is_dir() and path.name not in store.own_folders]
    return {(stage.name, path.name): path for stage in stages for path in stage.iterdir() if path.is_dir()}


def _with_inputs(roots: Iterable[Result], there: dict[Result, Path], store: Store) -> set[Result]:
    """Results with everything they were made from.

    Raises:
        StoreError: the inputs of one are unknown.
    """
    by_key: dict[str, list[Result]] = {}
    for result in there:
        by_key.setdefault(result[1], []).append(result)
    needed, waiting = set[Result](), [result for result in roots if result in there]
    while waiting:
        result = waiting.pop()
        if result not in needed and store.has(*result):
            inputs = read_record(there[result]).get("inputs", {}).values()
            waiting += [one for key in inputs for one in by_key.get(key, [])]
        needed.add(result)
    return needed


def _freed(folders: Collection[Path]) -> int:
    """Bytes of files that have no hard link outside these folders."""
    names, stats = Counter[tuple[int, int]](), dict[tuple[int, int], os.stat_result]()
    for folder in folders:
        for path in folder.rglob("*"):
            stat = path.lstat()
            if not path.is_dir() or path.is_symlink():
                names[stat.st_dev, stat.st_ino] += 1
                stats[stat.st_dev, stat.st_ino] = stat
    return sum(stat.st_size for file, stat in stats.items() if names[file] >= stat.st_nlink)


def find_unneeded(store: Store, kept: Iterable[Result], broken_off: bool) -> Unneeded:
    """Results that neither `kept` nor an active build needs, directly or as inputs.

    Args:
        kept: results that releases link to.
        broken_off: whether to ignore the needs of interrupted builds.

    Raises:
        StoreError: the store can't be read, or the inputs of a result are unknown.
    """
    try:
        claims = sorted((store.root / CLAIMS).glob("*.json"))
        given_up = [claim for claim in claims if broken_off and not _is_at_work(claim)]
        listed = [one for claim in claims if claim not in given_up for one in json.loads(claim.read_text("utf-8"))]
        claimed = {(stage, key) for stage, _, key in (one.partition("/") for one in listed)}
        there = _results(store)
        needed = _with_inputs([*kept, *claimed], there, store)
        results = {result: path for result, path in sorted(there.items()) if result not in needed}
        names = {f"{stage}-{key}" for stage, key in claimed}
        left = [path for path in sorted(store.unfinished_folder.iterdir()) if path.is_dir() and path.name not in names]
        return Unneeded(results, left, _freed([*results.values(), *left]), given_up)
    except OSError as error:
        raise explain(error, store.root) from None
    except ValueError:
        raise StoreError(f"{store.root / CLAIMS} is damaged. Remove it if no build is running.") from None


@contextmanager
def cleaning(store: Store) -> Iterator[None]:
    """Prevent builds from starting between the search for unneeded results and their removal.

    Raises:
        StoreError: the store can't be written.
    """
    try:
        (store.root / CLAIMS).mkdir(exist_ok=True)
        with _turn(store):
            yield
    except OSError as error:
        raise explain(error, store.root) from None


def remove(store: Store, unneeded: Unneeded) -> None:
    """Remove what was found. Each result is removed in one rename, so a kill leaves no partial one."""
    for (stage, key), path in unneeded.results.items():
        gone = store.unfinished_folder / f"removed-{stage}-{key}"
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone)
    for path in unneeded.unfinished:
        shutil.rmtree(path)
        path.with_suffix(".lock").unlink(missing_ok=True)
    for claim in unneeded.broken_off:
        claim.unlink(missing_ok=True)
