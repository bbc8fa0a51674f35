"""Pulls a release from a registry: resolved, verified, downloaded, and then made visible in one rename."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

from filelock import Timeout

from pipeline.progress import Progress
from zoo.errors import ManifestError, RegistryError
from zoo.home import Home
from zoo.layout import GRAPH, MANIFEST
from zoo.registry.assembly import assemble, show
from zoo.registry.cache import Cache
from zoo.registry.download import fetch
from zoo.registry.index import Blob, Listed
from zoo.registry.places.shipped import URL as SHIPPED
from zoo.registry.publish import told_differences
from zoo.registry.reader import Registry
from zoo.registry.resolution import resolve
from zoo.registry.shipped import comes_with_zoo
from zoo.release.local import Release, read_release
from zoo.release.manifest import Manifest
from zoo.release.measurements import LIMIT as RECORD_LIMIT
from zoo.release.measurements import Measurement, Pending, from_bytes, merged
from zoo.release.reading import Parsed, read_manifest
from zoo.release.record import Artifact
from zoo.release.versions import raising
from zoo.sanitize import one_line

logger = logging.getLogger(__name__)
PARALLEL = 4
RECORDS_LIMIT = 64 * 2**20  # bytes of all its measurements
MIB = 2**20
Choose = Callable[[Manifest, list[Measurement]], Sequence[str] | None]


def wanted_files(manifest: Manifest, targets: Sequence[str] | None, network: bool = False) -> list[tuple[str, Blob]]:
    """Paths and content of the files to pull.

    Args:
        targets: those whose artifacts are pulled, with the graph and the documents; None: everything.
        network: also the network for training.
    """
    return [
        (file.path, Blob(sha256=file.sha256, size_bytes=file.size_bytes))
        for file in manifest.files
        if targets is None
        or not isinstance(file, Artifact)
        or (file.target in targets if file.target else file.path == GRAPH or network)
    ]


def pull(
    registry: Registry, home: Home, wanted: str, choose: Choose, progress: Progress, *, network: bool = False
) -> Release:
    """Pull a release; files that are here already are not downloaded again.

    Args:
        wanted: NAME, NAME@VERSION, NAME@^RANGE.
        choose: selects the targets whose artifacts are pulled, see `wanted_files`; may raise.
        network: also pull the network for training.

    Raises:
        RegistryError: see `resolve`, `Registry`, `fetch`.
        ManifestError: the manifest or a measurement is damaged.
    """
    try:
        return _pull(registry, home, wanted, choose, progress, network)
    except OSError as error:
        raise RegistryError(
            f"can't write below {home.root}: {error.strerror or error}. Free some space, or set ZOO_HOME to a "
            "writable folder."
        ) from None


def _pull(registry: Registry, home: Home, wanted: str, choose: Choose, progress: Progress, network: bool) -> Release:
    name, version, listed = _resolved(registry, wanted, progress)
    label = f"{name}@{version}"
    if listed.yanked:
        progress.say(f"{label} is yanked: {one_line(listed.yanked)}")
    content, parsed = registry.manifest(name, version, listed)
    manifest = parsed.manifest
    _refuse_shadowed(home, manifest, registry.url)
    records = _records(registry, listed.measurements, label)
    known = _known(registry, parsed, records)
    files = wanted_files(manifest, choose(manifest, known), network)
    with _one_at_a_time(registry.cache, label, progress):
        have = pulled_files(home, label).items()
        files += [(path, blob) for path, blob in have if (path, blob) not in files and _of(manifest, path, blob)]
        _fetch_all(registry, [blob for _, blob in files], label, progress)
        folder = assemble(registry.cache, content, records, files)
        show(folder, home.pulled / name / version)
    return read_release(home.pulled / name / version / MANIFEST)


def _resolved(registry: Registry, wanted: str, progress: Progress) -> tuple[str, str, Listed]:
    """See `resolve`; the error says whether the release comes with zoo."""
    index = registry.index(progress.say)
    try:
        return resolve(index, wanted, registry.url)
    except RegistryError as error:
        if not registry.is_shipped and (label := comes_with_zoo(wanted)):
            raise RegistryError(f"{error} {label} comes with zoo: zoo pull {wanted} --registry {SHIPPED}") from None
        raise


def _refuse_shadowed(home: Home, manifest: Manifest, url: str) -> None:
    """Check that no other release of the same name and version was built here.

    Raises:
        RegistryError: there is one with other content.
    """
    path = home.releases / manifest.name / manifest.version / MANIFEST
    try:
        built = read_manifest(path) if path.exists() else manifest
    except ManifestError:  # reported when it is asked for
        return
    if built.content_sha256 != manifest.content_sha256:
        raise RegistryError(
            f"{manifest.label} was built here with other content than in {url}: nothing was pulled. Remove "
            f"{path.parent} to get the published one. To keep both: {raising(bool(built.foreign))}, and build it "
            f"again: {built.rebuild}. Differences: {told_differences(manifest, built)}"
        )


@contextmanager
def _one_at_a_time(cache: Cache, label: str, progress: Progress) -> Iterator[None]:
    """Serialises pulls of one release, so that the next one reuses the files of the first."""
    lock = cache.release_lock(label)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        progress.say(f"waiting for another pull of {label} on this machine")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _of(manifest: Manifest, path: str, blob: Blob) -> bool:
    return any((file.path, file.sha256) == (path, blob.sha256) for file in manifest.files)


def pulled_files(home: Home, label: str) -> dict[str, Blob]:
    """Files of a release that were pulled before, by path; none if its manifest is damaged."""
    name, _, version = label.partition("@")
    folder = home.pulled / name / version
    if not (folder / MANIFEST).is_file():
        return {}
    try:
        manifest = read_manifest(folder / MANIFEST)
    except ManifestError:
        return {}
    return {
        file.path: Blob(sha256=file.sha256, size_bytes=file.size_bytes)
        for file in manifest.files
        if (folder / file.path).is_file()
    }


def _records(registry: Registry, blobs: Sequence[Blob], label: str) -> list[Measurement]:
    unique = list(dict.fromkeys(blobs))
    if (claimed := sum(blob.size_bytes for blob in unique)) > RECORDS_LIMIT:
        raise RegistryError(f"the measurements of {label} claim {claimed / 1e6:,.0f} MB, more than the limit. Refused.")
    return [_record(registry, blob, label) for blob in unique]


def _known(registry: Registry, parsed: Parsed, records: Sequence[Measurement]) -> list[Measurement]:
    """Records of an older manifest, and those beside it."""
    label = parsed.manifest.label
    return merged(parsed.measurements, records, f"the manifest of {label}", f"Tell who keeps {registry.url}.")


def read_records(registry: Registry, listed: Listed, parsed: Parsed) -> list[Measurement]:
    """All measurements of a listed release.

    Raises:
        RegistryError: one belongs to another release, or is not available.
        ManifestError: one is damaged.
    """
    return _known(registry, parsed, _records(registry, listed.measurements, parsed.manifest.label))


def _record(registry: Registry, blob: Blob, label: str) -> Measurement:
    record = from_bytes(registry.small(blob, RECORD_LIMIT, f"a measurement of {label}"), f"of {label}")
    if isinstance(record, Pending) or record.release != label:
        raise RegistryError(f"a measurement of {label} in {registry.url} belongs to {record.release}. Refused.")
    return record


def _fetch_all(registry: Registry, blobs: Sequence[Blob], label: str, progress: Progress) -> None:
    """Download in parallel.

    Raises:
        RegistryError: one is not available, or the disk is full.
    """
    missing = [blob for blob in dict.fromkeys(blobs) if not registry.cache.is_intact(blob)]
    registry.cache.root.mkdir(parents=True, exist_ok=True)
    needed, free = sum(blob.size_bytes for blob in missing), shutil.disk_usage(registry.cache.root).free
    if needed > free:
        raise RegistryError(
            f"{label} needs {needed / 1e6:,.1f} MB, but {registry.cache.root} has {free / 1e6:,.1f} MB free. Free some "
            "space, pull one target only, or set ZOO_HOME to another folder."
        )
    if not missing:
        return
    progress.say(
        f"pulling {label} from {registry.url}: {len(missing)} file{'s' * (len(missing) != 1)}, {needed / 1e6:.1f} MB"
    )
    moved, turn = 0, Lock()
    with progress.bar("pulling, MiB", max(1, needed // MIB)) as bar:

        def step(count: int) -> None:
            nonlocal moved
            with turn:
                before, moved = moved, moved + count
                if steps := moved // MIB - before // MIB:
                    bar.advance(steps)

        with ThreadPoolExecutor(PARALLEL) as pool:
            running = [pool.submit(fetch, blob, registry.places, registry.cache, step) for blob in missing]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
