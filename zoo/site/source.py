"""Releases with what a registry says of them: signatures, withdrawal, and the files themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.progress import Progress
from zoo.errors import ManifestError, RegistryError
from zoo.home import Home, shipped_releases
from zoo.layout import MANIFEST
from zoo.registry.index import INDEX, Blob, Listed
from zoo.registry.listing import shipped_registry
from zoo.registry.pull import read_records
from zoo.registry.reader import Registry
from zoo.registry.signing import LIMIT as SIGNATURE_LIMIT
from zoo.registry.signing import check_signatures
from zoo.release.local import Release, read_all
from zoo.release.versions import order
from zoo.sanitize import one_line, without_secrets

PARALLEL = 8  # requests at a time
Signed = Literal["trusted", "unchecked", "unsigned", "unpublished"]


@dataclass(frozen=True)
class Entry:
    """A release on the site.

    Attributes:
        signed: by a trusted key, whose names are in `keys`; by keys that this machine can't check; by nobody; or not
            published.
        signatures: how many there are.
        published_at: UTC, ISO 8601; None if it is not published.
        yanked: why its owner withdrew it; None if that did not happen.
        read: the content of a file of the release, by path, if it is at most so many bytes; None if it is not there.
    """

    release: Release
    signed: Signed
    keys: tuple[str, ...]
    signatures: int
    published_at: str | None
    yanked: str | None
    read: Callable[[str, int], bytes | None]


@dataclass(frozen=True)
class Source:
    """Everything a site is made from.

    Attributes:
        damaged: why others can't be read, in a line, by name@version.
        revision: of the registry's index; None for releases of this machine.
        url: where others can pull from; None if nowhere.
    """

    entries: list[Entry]
    damaged: Mapping[str, str]
    revision: int | None
    url: str | None


def from_home(home: Home) -> Source:
    """The releases on this machine."""
    here = read_all(home)
    entries = [Entry(one, "unpublished", (), 0, None, None, _reader_of(one)) for one in here.releases]
    return Source(entries, here.damaged, None, None)


def shipped_beside(here: Source, home: Home, progress: Progress) -> Source:
    """Releases of this machine, and those that come with zoo and are not on it, as `zoo search` has them.

    Raises:
        RegistryError: this installation has some, and their index can't be read.
    """
    if not (shipped_releases() / INDEX).exists():
        return here
    there = from_registry(shipped_registry(home), progress)
    labels = {entry.release.manifest.label for entry in here.entries} | here.damaged.keys()
    entries = [*here.entries, *(one for one in there.entries if one.release.manifest.label not in labels)]
    entries.sort(key=lambda one: (one.release.manifest.name, order(one.release.manifest.version)))
    return Source(entries, {**there.damaged, **here.damaged}, None, None)


def _reader_of(release: Release) -> Callable[[str, int], bytes | None]:
    listed = {file.path for file in release.manifest.files}

    def read(path: str, limit: int) -> bytes | None:
        place = release.path.parent / path
        there = path in listed and place.is_file() and place.stat().st_size <= limit
        return place.read_bytes() if there else None

    return read


def from_registry(registry: Registry, progress: Progress) -> Source:
    """All releases of a registry, by name, oldest first.

    Raises:
        RegistryError: it can't be reached, or its index is not one.
    """
    index = registry.index(progress.say)
    wanted = [
        (name, version, index.releases[name][version])
        for name in sorted(index.releases)
        for version in sorted(index.releases[name], key=order)
    ]
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda one: _entry(registry, *one), wanted))
    labels = [f"{name}@{version}" for name, version, _ in wanted]
    return Source(
        [one for one in found if isinstance(one, Entry)],
        {label: one for label, one in zip(labels, found, strict=True) if isinstance(one, str)},
        index.revision,
        public(registry.url),
    )


def public(url: str) -> str | None:
    """An address that works for others, too, without secrets; None for a folder of this machine."""
    return without_secrets(url) if "://" in url and not url.startswith("file:") else None


def _entry(registry: Registry, name: str, version: str, listed: Listed) -> Entry | str:
    """A release, or why it can't be shown."""
    label = f"{name}@{version}"
    try:
        content, parsed = registry.manifest(name, version, listed)
        records = read_records(registry, listed, parsed)
        release = Release(Path(MANIFEST), parsed.manifest, records, parsed.schema)
        keys = _trusted(registry, label, content, listed)
    except (ManifestError, RegistryError) as error:
        return one_line(without_secrets(str(error)))
    signed: Signed = "trusted" if keys else "unchecked" if listed.signatures else "unsigned"
    read = _fetcher(registry, release)
    return Entry(release, signed, keys, len(listed.signatures), listed.published_at, listed.yanked, read)


def _trusted(registry: Registry, label: str, content: bytes, listed: Listed) -> tuple[str, ...]:
    """File names of trusted keys with a valid signature."""
    if not registry.keys or not listed.signatures:
        return ()
    what = f"a signature of {label}"
    signatures = [(one.key, registry.small(one.blob, SIGNATURE_LIMIT, what)) for one in listed.signatures]
    return tuple(key.name for key in check_signatures(label, content, signatures, registry.keys, False))


def _fetcher(registry: Registry, release: Release) -> Callable[[str, int], bytes | None]:
    listed = {file.path: file for file in release.manifest.files}

    def read(path: str, limit: int) -> bytes | None:
        file = listed.get(path)
        if file is None or file.size_bytes > limit:
            return None
        blob = Blob(sha256=file.sha256, size_bytes=file.size_bytes)
        return registry.small(blob, limit, f"{path} of {release.manifest.label}")

    return read
