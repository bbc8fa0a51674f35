"""From an artifact to a running session: files verified, graph compiled, golden input embedded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from targets.contract import Job, Session, make_target
from targets.errors import TargetError, Unusable
from targets.files import sha256
from targets.machine.device import cache_folder
from zoo.catalogue import Catalogue
from zoo.errors import ManifestError, NothingRuns
from zoo.release.local import Release
from zoo.use.golden import read_golden
from zoo.use.runnable import Runnable, of_target, runnables

logger = logging.getLogger(__name__)


def _checked_root(release: Release, one: Runnable) -> Path:
    root, label, build = release.path.parent, release.manifest.label, release.manifest.rebuild
    for file in one.files:
        path = root / file.path
        if not path.is_file():
            target = "" if one.is_graph else f" --target {one.target}"
            raise Unusable(f"{file.path} is not here", f"Get it: zoo pull {label}{target}; or build it: {build}")
        try:
            intact = sha256(path) == file.sha256
        except OSError as error:
            raise ManifestError(f"can't read {path}: {error.strerror}. Check its owner and mode.") from None
        if not intact:
            raise ManifestError(
                f"{path} is damaged: its sha256 differs from the manifest. See zoo verify {release.manifest.label}"
            )
    return root


def _cache() -> Path | None:
    """Folder for the runtimes' own caches; None if it can't be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


@contextmanager
def compiled(release: Release, one: Runnable, job: Job) -> Iterator[Path]:
    """A folder with the artifact, compiled first if it is the graph.

    Raises:
        ManifestError: a file of it is damaged.
        TargetError: it can't be used here; `Unusable` says how to fix that.
    """
    if one.settings is None:
        raise Unusable(
            f"the device of {one.target} is unknown: it was never measured and is not in the catalogue",
            "Add it to `targets:` in zoo.yaml.",
        )
    runner = make_target(one.settings)
    runner.check()
    root = _checked_root(release, one)
    if not one.is_graph:
        yield root / one.folder
        return
    with TemporaryDirectory(prefix="zoo-") as scratch:
        logger.debug("compiling %s for %s in %s", one.files[0].path, one.target, scratch)
        runner.compile(root / one.files[0].path, Path(scratch), job)
        yield Path(scratch)


def load_from(folder: Path, release: Release, one: Runnable) -> Session:
    """Load the output of `compiled`, and check that it reproduces the golden embedding.

    Raises:
        ArtifactFailed: it does not load, or produces a different embedding.
    """
    assert one.settings is not None
    session = make_target(one.settings).load(folder, None if one.is_graph else _cache())
    if golden := read_golden(release.path.parent):
        golden.check(session, one.precision, f"{release.manifest.label} as {one.target}")
    return session


def start(release: Release, one: Runnable, job: Job) -> Session:
    """Compile if necessary, and load.

    Raises:
        ManifestError, TargetError: see `compiled` and `load_from`.
    """
    with compiled(release, one, job) as folder:
        return load_from(folder, release, one)


def start_best(
    release: Release,
    job: Job,
    target: str | None = None,
    threads: int | None = None,
    catalogue: Catalogue | None = None,
) -> tuple[Runnable, Session]:
    """The best artifact that can be used here, or the best of one target.

    Args:
        catalogue: see `runnables`.

    Raises:
        NothingRuns: none can; the message says why and what to install.
        ManifestError: a file is damaged.
    """
    found = of_target(release, target, threads, catalogue) if target else runnables(release, threads, catalogue)
    failed: list[tuple[Runnable, TargetError]] = []
    for one in found:
        logger.debug("%s: trying %s in %s with %s", release.manifest.label, one.target, one.precision, one.settings)
        try:
            if one.overflows:
                raise Unusable(
                    "its int8 sums overflow on this processor, which has no VNNI: its embeddings fit those of no other "
                    "machine or precision",
                    f"Use another target, or build it again: {release.manifest.rebuild}",
                )
            session = start(release, one, job)
            logger.info("%s: runs as %s in %s", release.manifest.label, one.target, one.precision)
            return one, session
        except TargetError as error:
            logger.info("%s: not as %s in %s: %s", release.manifest.label, one.target, one.precision, error)
            failed.append((one, error))
    label = release.manifest.label
    if target and failed:
        raise NothingRuns(f"{label} does not run here as {target}: {failed[0][1]}")
    whys = [error.why if isinstance(error, Unusable) else str(error).rstrip(".") for _, error in failed]
    mends = [
        error.mend
        for one, error in failed
        if isinstance(error, Unusable) and one.settings and one.settings.device == "CPU"  # every machine has one
    ]
    raise NothingRuns(f"no runtime here runs {label}: {'; '.join(dict.fromkeys(whys))}. {''.join(mends[:1])}".strip())
