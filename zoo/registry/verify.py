"""Whether a release on this machine is what was published or built: every byte, and the signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from targets.files import sha256
from zoo.errors import NoRegistry, RegistryError
from zoo.layout import RESERVED
from zoo.registry.publish import blob_of
from zoo.registry.reader import Registry
from zoo.registry.signing import LIMIT, check_signatures
from zoo.release.local import Release


def damage(release: Release) -> Iterator[str]:
    """Lines that say what differs from the manifest. Files that were not pulled are not damage; unlisted files are."""
    folder = release.path.parent
    listed = {file.path: file for file in release.manifest.files}
    for path, file in listed.items():
        place = folder / path
        if not place.exists():
            continue
        if not place.is_file():
            yield f"{path}: missing"
        elif place.stat().st_size != file.size_bytes:
            yield f"{path}: {place.stat().st_size} bytes, not {file.size_bytes}"
        elif sha256(place) != file.sha256:
            yield f"{path}: other content (sha256)"
    for found in sorted(folder.rglob("*")):
        name = found.relative_to(folder).as_posix()
        if found.is_file() and name not in listed and Path(name).parts[0] not in RESERVED:
            yield f"{name}: not a file of this release"


def missing(release: Release) -> list[str]:
    """Files of the release that are not here, such as artifacts of targets that were not pulled."""
    return [file.path for file in release.manifest.files if not (release.path.parent / file.path).exists()]


def signed_by(registry: Registry, release: Release) -> list[str]:
    """Names of trusted keys with a valid signature over the manifest on this machine.

    Raises:
        NoRegistry: there is no registry, or none is configured and the release does not come with zoo.
        RegistryError: the registry has this version with another manifest, or a signature is invalid, or missing and
            required.
    """
    manifest = release.manifest
    listed = registry.index(lambda _line: None).find(manifest.name, manifest.version)
    content = release.path.read_bytes()
    if listed is None and registry.is_shipped:
        raise NoRegistry(f"{manifest.label} is not one of {registry.url}. Name its registry: --registry URL")
    if listed is None:
        raise RegistryError(
            f"{manifest.label} is not in {registry.url}, so it can't be compared. Name its registry: --registry URL"
        )
    if blob_of(content) != listed.manifest:
        raise RegistryError(
            f"the manifest of {manifest.label} differs from that in {registry.url}. It was built or changed here; "
            f"for the published one: zoo pull {manifest.label} into another ZOO_HOME."
        )
    signatures = [
        (one.key, registry.small(one.blob, LIMIT, f"a signature of {manifest.label}")) for one in listed.signatures
    ]
    if not registry.keys and not registry.require_signature:
        return []
    good = check_signatures(manifest.label, content, signatures, registry.keys, registry.require_signature)
    return [key.name for key in good]
