"""Publishes a release to a registry; yanks releases and collects garbage."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.progress import Progress
from targets.errors import as_written
from targets.files import sha256
from zoo.errors import RegistryError
from zoo.registry.index import INDEX, LIMIT, MOST_MEASUREMENTS, Blob, Index, Listed, Signature, parse_index
from zoo.registry.places.place import GARBAGE, UNFINISHED, Place, unreached
from zoo.registry.signing import key_id, sign
from zoo.release.local import Release, is_built
from zoo.release.manifest import Manifest
from zoo.release.measurements import older_bytes, to_bytes
from zoo.release.reading import Parsed, parse
from zoo.release.versions import raising

logger = logging.getLogger(__name__)
MANIFEST_LIMIT = 16 * 2**20  # bytes; more than any manifest needs
SHOWN = 8  # differences that are listed


def blob_of(content: bytes) -> Blob:
    """A blob of content in memory."""
    return Blob(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def find_index(place: Place) -> Index | None:
    """The index of a registry; None if there is none yet.

    Raises:
        RegistryError: it can't be read, or is damaged.
    """
    content = place.read(INDEX, LIMIT)
    return None if content is None else parse_index(content, place.url)


def read_index(place: Place) -> Index:
    """The index of an existing registry.

    Raises:
        RegistryError: there is none, or it can't be read.
    """
    index = find_index(place)
    if index is None:
        raise RegistryError(f"{place.url} is not a registry: it has no {INDEX}. Check the address.")
    return index


def read_parsed(place: Place, label: str, listed: Listed) -> tuple[bytes, Parsed]:
    """The manifest of a listed release, as bytes and parsed.

    Raises:
        RegistryError: it is missing, or differs from the index.
        ManifestError: it is not a manifest.
    """
    content = place.read(listed.manifest.path, MANIFEST_LIMIT)
    if content is None or blob_of(content) != listed.manifest:
        raise RegistryError(
            f"the manifest of {label} in {place.url} is missing or damaged (sha256). Report it to the registry's owner."
        )
    return content, parse(content, f"of {label}", f"Report it to the owner of {place.url}.")


def read_listed(place: Place, label: str, listed: Listed) -> tuple[bytes, Manifest]:
    """`read_parsed`, without the records that an older manifest contains.

    Raises:
        RegistryError, ManifestError: see `read_parsed`.
    """
    content, parsed = read_parsed(place, label, listed)
    return content, parsed.manifest


@dataclass(frozen=True)
class Published:
    """The outcome of publishing: whether the release is new there, and how many measurements are."""

    new: bool
    measurements: int
    signed: bool


def differences(published: Manifest, ours: Manifest) -> Iterator[str]:
    """Differences between two builds of one version, as lines."""
    before = {artifact.path: artifact.sha256 for artifact in published.artifacts}
    after = {artifact.path: artifact.sha256 for artifact in ours.artifacts}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"{path}: " + ("new" if path not in before else "missing" if path not in after else "other content")
    if published.data.fingerprint != ours.data.fingerprint:
        yield "data: the data set has other content"
    yield from _changed(published.recipe, ours.recipe, "recipe")
    libraries = published.provenance.libraries, ours.provenance.libraries
    yield from _changed(*libraries, "libraries")


def told_differences(published: Manifest, ours: Manifest, between: str = "; ") -> str:
    """The first lines of `differences`."""
    lines = list(differences(published, ours))
    return between.join(lines[:SHOWN] + [f"… and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN))


def _changed(before: object, after: object, at: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys(), key=str):
            yield from _changed(before.get(key), after.get(key), f"{at}.{key}")
    elif before != after:
        yield f"{at}: {as_written(before)} → {as_written(after)}"


def _check_files(release: Release) -> dict[str, Path]:
    """Files by blob path, each verified against the manifest."""
    found, label = {}, release.manifest.label
    pull = f"zoo pull {label} --all"
    for file in release.manifest.files:
        path = release.path.parent / file.path
        if not path.exists():
            raise RegistryError(
                f"{file.path} of {label} is not here"
                + (
                    f". {release.rebuilding}"
                    if release.rebuilding
                    else f", since only part was pulled. First run: {pull}"
                )
            )
        if path.stat().st_size != file.size_bytes or sha256(path) != file.sha256:
            raise RegistryError(
                f"{file.path} of {label} does not match the manifest (sha256). "
                + (release.repairing or f"Get it again: {pull}")
            )
        found[Blob(sha256=file.sha256, size_bytes=file.size_bytes).path] = path
    return found


def _refuse_other_content(place: Place, label: str, listed: Listed, ours: Manifest) -> None:
    """Check that the published content is ours, since an artifact never changes once published.

    Raises:
        RegistryError: the contents differ; the message says how.
    """
    if listed.content_sha256 == ours.content_sha256:
        return
    _, published = read_listed(place, label, listed)
    told = told_differences(published, ours, "\n  ")
    raise RegistryError(
        f"{label} is published in {place.url} with other content, which can't change. {raising(bool(ours.foreign))}, "
        f"and build it again: {ours.rebuild}. Differences:\n  {told}"
    )


def _refuse_old(release: Release) -> None:
    """Publish only the current schema, since a published manifest never changes. A pulled release is copied as it is.

    Raises:
        RegistryError: the release was built here and has an older schema.
    """
    if release.is_old and is_built(release.path):
        raise RegistryError(
            f"{release.manifest.label} has schema {release.schema}, and a published manifest never changes. Migrate it "
            f"first: zoo migrate {release.manifest.label}"
        )


def publish(release: Release, place: Place, key: Path | None, progress: Progress) -> Published:
    """Publish a release; if it is published already, add new measurements and signatures.

    Args:
        key: private key to sign with.

    Raises:
        RegistryError: the registry can't be written, or has this version with other content; or the release was built
            here and its manifest has an older schema.
    """
    manifest = release.manifest
    listed = (find_index(place) or Index()).find(manifest.name, manifest.version)
    if listed:
        _refuse_other_content(place, manifest.label, listed, manifest)
        content, files = read_listed(place, manifest.label, listed)[0], dict[str, Path]()
    else:
        _refuse_old(release)
        content, files = release.path.read_bytes(), _check_files(release)
    records = [to_bytes(record) for record in release.public]
    older = {blob_of(to_bytes(one)): blob_of(old) for one in release.public if (old := older_bytes(one)) is not None}
    small = {**{blob_of(record): record for record in records}, blob_of(content): content}
    signatures = []
    if key:
        signature = sign(content, key)
        signatures = [Signature(blob=blob_of(signature), key=key_id(key, private=True))]
        small[blob_of(signature)] = signature
    ours = Listed(
        manifest=blob_of(content),
        content_sha256=manifest.content_sha256,
        published_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        signatures=signatures,
        measurements=[blob_of(record) for record in records],
    )
    outcome = Published(new=True, measurements=len(records), signed=bool(key))

    def edit(before: bytes | None) -> bytes | None:
        nonlocal outcome
        index = parse_index(before, place.url) if before is not None else Index()
        there = index.find(manifest.name, manifest.version)
        if there is None:
            outcome = Published(new=True, measurements=len(records), signed=bool(key))
            return index.with_release(manifest.name, manifest.version, ours).to_bytes()
        if there.manifest != ours.manifest:
            _refuse_other_content(place, manifest.label, there, manifest)
        merged, outcome = _merge(there, ours, older)
        if len(merged.measurements) > MOST_MEASUREMENTS:
            raise RegistryError(
                f"{manifest.label} has {len(there.measurements)} measurements in {place.url}; the limit is "
                f"{MOST_MEASUREMENTS}. Publish further ones with its next version."
            )
        return None if merged == there else index.with_release(manifest.name, manifest.version, merged).to_bytes()

    total = sum(path.stat().st_size for path in files.values())
    if files:
        progress.say(f"publishing {manifest.label} to {place.url}: {len(files)} files, {total / 1e6:.1f} MB")
    with TemporaryDirectory() as scratch:
        logger.debug("%s: %d files to %s, small ones by way of %s", manifest.label, len(files), place.url, scratch)
        for blob, text in small.items():
            Path(scratch, blob.sha256).write_bytes(text)
            files[blob.path] = Path(scratch, blob.sha256)
        place.publish(files, INDEX, LIMIT, edit)
    return outcome


def _merge(there: Listed, ours: Listed, older: Mapping[Blob, Blob]) -> tuple[Listed, Published]:
    """The published entry with our additions.

    Args:
        older: our measurements as earlier versions wrote them, see `older_bytes`.
    """
    same = there.manifest == ours.manifest  # otherwise our signature is over another manifest
    known = {signature.key for signature in there.signatures}
    signatures = [one for one in ours.signatures if same and one.key not in known]
    known_records = {*there.measurements}
    measurements = [one for one in ours.measurements if not known_records & {one, older.get(one, one)}]
    merged = there.model_copy(
        update={
            "signatures": [*there.signatures, *signatures],
            "measurements": [*there.measurements, *measurements],
        }
    )
    return merged, Published(new=False, measurements=len(measurements), signed=bool(signatures))


def yank(place: Place, name: str, version: str, reason: str | None) -> bool:
    """Hide a release from resolution, with a reason; without one, restore it. Its files stay.

    Returns:
        whether anything changed.

    Raises:
        RegistryError: there is no such release.
    """

    changed = False

    def edit(before: bytes | None) -> bytes | None:
        nonlocal changed
        index = parse_index(before, place.url) if before is not None else Index()
        listed = index.find(name, version)
        if listed is None:
            there = ", ".join(index.releases.get(name, {})) or "none"
            raise RegistryError(f"no release {name}@{version} in {place.url}. Available versions: {there}.")
        changed = listed.yanked != reason
        if not changed:
            return None
        return index.with_release(name, version, listed.model_copy(update={"yanked": reason})).to_bytes()

    read_index(place)  # a folder that is not a registry must not become one
    place.publish({}, INDEX, LIMIT, edit)
    return changed


def collect_garbage(place: Place, dry: bool) -> tuple[int, int]:
    """Remove unreferenced files that are older than a day; return their number and size in bytes.

    Args:
        dry: count only.

    Raises:
        RegistryError: a manifest can't be read, so nothing is certain to be garbage, and nothing is removed.
    """
    used: set[str] = set()
    for name, versions in read_index(place).releases.items():
        for version, listed in versions.items():
            _, manifest = read_listed(place, f"{name}@{version}", listed)
            blobs = [listed.manifest, *listed.measurements, *(one.blob for one in listed.signatures)]
            used |= {blob.path for blob in blobs}
            used |= {Blob(sha256=file.sha256, size_bytes=file.size_bytes).path for file in manifest.files}
    now = time.time()
    there = [file for below in ("blobs", UNFINISHED) for file in place.listing(below)]
    garbage = [(path, size) for path, size, at in there if path not in used and now - at > GARBAGE]
    if not dry:
        try:
            place.remove([path for path, _ in garbage])
        except OSError as error:
            raise unreached(place.url, error) from None
    return len(garbage), sum(size for _, size in garbage)
