"""A registry as a reader uses it: its index, small files through the cache, manifests with their signatures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import NoRegistry, RegistryError
from zoo.registry.cache import Cache
from zoo.registry.download import fetch
from zoo.registry.index import Blob, Index, Listed, outgrown
from zoo.registry.places.place import Place
from zoo.registry.places.shipped import Shipped
from zoo.registry.publish import MANIFEST_LIMIT, read_index
from zoo.registry.signing import LIMIT as SIGNATURE_LIMIT
from zoo.registry.signing import check_signatures
from zoo.release.reading import Parsed, parse
from zoo.sanitize import without_secrets

logger = logging.getLogger(__name__)

LARGEST = 4 * 2**30  # bytes of one release; models for edge devices are far below it


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

    @property
    def is_shipped(self) -> bool:
        """Whether it holds the releases that come with zoo."""
        return isinstance(self.places[0], Shipped)

    def index(self, say: Callable[[str], None]) -> Index:
        """The newest available index: the registry's, a mirror's, or the last one seen.

        Raises:
            NoRegistry: there is none.
            RegistryError: it can't be a successor of the last one seen. The index that comes with zoo is not compared
                with earlier ones: another version of zoo, or another commit, may have fewer releases.
        """
        if self.is_shipped:
            try:
                return read_index(self.places[0])
            except RegistryError as error:
                raise NoRegistry(str(error)) from None
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

    def where(self, blob: Blob) -> Path:
        """Path of the content of `small` on this machine."""
        place = self.places[0]
        return place.root / blob.path if isinstance(place, Shipped) else self.cache.path(blob)

    def small(self, blob: Blob, limit: int, what: str) -> bytes:
        """Content of a small file, through the cache.

        Raises:
            RegistryError: it is not available, or larger than such a file may be.
        """
        if blob.size_bytes > limit:
            raise RegistryError(f"{what} claims {blob.size_bytes / 1e6:,.0f} MB, more than its limit. Refused.")
        if self.is_shipped:  # without the cache, so that a home that can't be written does not matter
            content = self.places[0].read(blob.path, limit)
            assert content is not None  # it would be an error
            return content
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
