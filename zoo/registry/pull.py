"""Pulls a release from a registry: resolved, verified, downloaded, and then made visible in one rename."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from filelock import Timeout

from pipeline.engine.progress import Progress
from pipeline.files import place_file, write_bytes
from targets.files import sha256
from zoo.errors import ManifestError, NoRegistry, RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.download import fetch
from zoo.registry.index import Blob, Index, Listed, outgrown
from zoo.registry.places import Place
from zoo.registry.publish import MANIFEST_LIMIT, read_index, told_differences
from zoo.registry.signing import LIMIT as SIGNATURE_LIMIT
from zoo.registry.signing import check_signatures
from zoo.registry.versions import resolve
from zoo.release.layout import GRAPH, MANIFEST, MEASUREMENTS
from zoo.release.local import Release, read_release
from zoo.release.manifest import Artifact, Manifest, Parsed, parse, read_manifest
from zoo.release.measurements import LIMIT as RECORD_LIMIT
from zoo.release.measurements import Measurement, Pending, file_name, from_bytes, merged, to_bytes
from zoo.sanitize import one_line, without_secrets

logger = logging.getLogger(__name__)
PARALLEL = 4
LARGEST = 4 * 2**30  # bytes of one release; models for edge devices are far smaller
RECORDS_LIMIT = 64 * 2**20  # bytes of all its measurements
MIB = 2**20
Choose = Callable[[Manifest, list[Measurement]], Sequence[str] | None]


@dataclass(frozen=True)
class Registry:
    """A registry, for reading.

    Attributes:
        places: the registry itself, then its mirrors.
        keys: trusted public keys.
        require_signature: whether to refuse a release without a signature by one of them.
    """

    places: Sequence[Place]
    cache: Cache
    keys: Sequence[Path] = ()
    require_signature: bool = False

    @property
    def url(self) -> str:
        """URL of the registry itself."""
        return self.places[0].url

    def index(self, say: Callable[[str], None]) -> Index:
        """The newest available index: the registry's, a mirror's, or the last one seen.

        Raises:
            NoRegistry: there is none.
            RegistryError: it can't be a successor of the last one seen.
        """
        seen, why = self.cache.last_index(self.url), ""
        for place in self.places:
            try:
                index = read_index(place)
            except RegistryError as error:
                logger.info("no index from %s: %s", place.url, without_secrets(str(error)))
                why = why or str(error)
                continue
            if place is not self.places[0] and seen and outgrown(seen, index):
                continue  # the mirror lags behind the index seen before
            logger.debug("index of %s: revision %d, %d names", place.url, index.revision, len(index.releases))
            self.cache.see_index(place.url, index)  # a mirror's index is stored under its own URL
            return index
        last = seen or next(filter(None, (self.cache.last_index(place.url) for place in self.places[1:])), None)
        if last is None:
            raise NoRegistry(why)
        say(f"{why} Using the index that was seen before.")
        return last

    def small(self, blob: Blob, limit: int, what: str) -> bytes:
        """Content of a small file, through the cache.

        Raises:
            RegistryError: it is not available, or larger than such a file may be.
        """
        if blob.size_bytes > limit:
            raise RegistryError(f"{what} claims {blob.size_bytes / 1e6:,.0f} MB, more than its limit. Refused.")
        if not self.cache.is_intact(blob):
            fetch(blob, self.places, self.cache, lambda _count: None)
        return self.cache.path(blob).read_bytes()

    def manifest(self, name: str, version: str, listed: Listed) -> tuple[bytes, Parsed]:
        """The manifest of a release, with its signature verified: its bytes, which are what is signed, and its content.

        Raises:
            RegistryError: it belongs to another release, claims too much, or its signature is invalid.
            ManifestError: it is not a manifest.
        """
        label = f"{name}@{version}"
        content = self.small(listed.manifest, MANIFEST_LIMIT, f"the manifest of {label}")
        signatures = [
            (one.key, self.small(one.blob, SIGNATURE_LIMIT, f"a signature of {label}")) for one in listed.signatures
        ]
        if self.keys or self.require_signature:
            check_signatures(label, content, signatures, self.keys, self.require_signature)
        parsed = parse(content, f"of {label}", f"Report it to the owner of {self.url}.")
        manifest = parsed.manifest
        if manifest.label != label or manifest.content_sha256 != listed.content_sha256:
            raise RegistryError(
                f"{self.url} has {manifest.label} with other content under {label}. Someone may have swapped it: "
                "nothing was pulled."
            )
        if (claimed := sum(file.size_bytes for file in manifest.files)) > LARGEST:
            raise RegistryError(f"{label} claims {claimed / 1e9:,.0f} GB, more than a release may have. Refused.")
        return content, parsed


def wanted_files(manifest: Manifest, targets: Sequence[str] | None) -> list[tuple[str, Blob]]:
    """Paths and content of the files to pull.

    Args:
        targets: those whose artifacts are pulled, with the graph and the documents; None: everything.
    """
    return [
        (file.path, Blob(sha256=file.sha256, size_bytes=file.size_bytes))
        for file in manifest.files
        if targets is None
        or not isinstance(file, Artifact)
        or (file.target in targets if file.target else file.path == GRAPH)
    ]


def pull(registry: Registry, home: Home, wanted: str, choose: Choose, progress: Progress) -> Release:
    """Pull a release; files that are here already are not downloaded again.

    Args:
        wanted: NAME, NAME@VERSION, NAME@^RANGE.
        choose: selects the targets whose artifacts are pulled, see `wanted_files`; may raise.

    Raises:
        RegistryError: see `resolve`, `Registry`, `fetch`.
        ManifestError: the manifest or a measurement is damaged.
    """
    try:
        return _pull(registry, home, wanted, choose, progress)
    except OSError as error:
        raise RegistryError(
            f"can't write below {home.root}: {error.strerror or error}. Free some space, or set ZOO_HOME to a "
            "writable folder."
        ) from None


def _pull(registry: Registry, home: Home, wanted: str, choose: Choose, progress: Progress) -> Release:
    name, version, listed = resolve(registry.index(progress.say), wanted, registry.url)
    label = f"{name}@{version}"
    if listed.yanked:
        progress.say(f"{label} is yanked: {one_line(listed.yanked)}")
    content, parsed = registry.manifest(name, version, listed)
    manifest = parsed.manifest
    _refuse_shadowed(home, manifest, registry.url)
    records = _records(registry, listed.measurements, label)
    known = merged(parsed.measurements, records, f"the manifest of {label}", f"Tell who keeps {registry.url}.")
    files = wanted_files(manifest, choose(manifest, known))
    with _one_at_a_time(registry.cache, label, progress):
        have = pulled_files(home, label).items()
        files += [(path, blob) for path, blob in have if (path, blob) not in files and _of(manifest, path, blob)]
        _fetch_all(registry, [blob for _, blob in files], label, progress)
        folder = _assemble(registry.cache, content, records, files)
        _show(folder, home.pulled / name / version)
    return read_release(home.pulled / name / version / MANIFEST)


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
            f"{path.parent} to get the published one, or raise `version` of the model in zoo.yaml and build it again. "
            f"Differences: {told_differences(manifest, built)}"
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
            f"{label} needs {needed / 1e6:,.0f} MB, but {registry.cache.root} has {free / 1e6:,.0f} MB free. Free some "
            "space, pull one target only, or set ZOO_HOME to another folder."
        )
    if not missing:
        return
    progress.say(f"pulling {label} from {registry.url}: {len(missing)} files, {needed / 1e6:.1f} MB")
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


def _assemble(cache: Cache, content: bytes, records: Sequence[Measurement], files: Sequence[tuple[str, Blob]]) -> Path:
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


def _show(folder: Path, link: Path) -> None:
    """Link a release's name to a folder, in one rename."""
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(folder, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    fresh = link.with_name(f".{link.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target, target_is_directory=True)
    fresh.replace(link)
