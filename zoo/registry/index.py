"""The index of a registry: its releases, their files, and their measurements.

It is the only file of a registry that changes; all others are named by their sha256. It only grows: a release never
changes, a yanked one stays listed with its reason, and `revision` rises with every change. So a reader who has seen an
index knows what a later one must contain.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field

from pipeline.recipe import Version
from zoo.errors import RegistryError
from zoo.release.reading import first_problem
from zoo.release.record import Name, Record, Sha256
from zoo.sanitize import parse_json

INDEX = "index.json"
LIMIT = 64 * 2**20  # bytes; enough for some hundred thousand releases
SCHEMA = 1
MOST_SIGNATURES, MOST_MEASUREMENTS = 16, 10_000  # of one release


class Blob(Record):
    """Content, located by its digest."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)

    @property
    def path(self) -> str:
        """Relative path, in a registry and in a cache."""
        return f"blobs/{self.sha256[:2]}/{self.sha256}"


class Signature(Record):
    """A signature over the manifest."""

    blob: Blob
    key: str = Field(description="sha256 of the public key (DER); which key to verify with")


class Listed(Record):
    """A release in the index."""

    manifest: Blob
    content_sha256: Sha256 = Field(description="see `zoo.release.manifest.Manifest.content_sha256`")
    published_at: str
    signatures: list[Signature] = Field(default_factory=list, max_length=MOST_SIGNATURES)
    measurements: list[Blob] = Field(default_factory=list, max_length=MOST_MEASUREMENTS)
    yanked: str | None = Field(None, description="why it is hidden from resolution")


class Index(Record):
    """All releases by name and version."""

    schema_version: Literal[1] = 1
    revision: int = Field(0, ge=0)
    releases: dict[Name, dict[Version, Listed]] = Field(default_factory=dict)

    def find(self, name: str, version: str) -> Listed | None:
        """A release, or None."""
        return self.releases.get(name, {}).get(version)

    def with_release(self, name: str, version: str, listed: Listed) -> Index:
        """The index with a release added or replaced."""
        versions = {**self.releases.get(name, {}), version: listed}
        return Index(revision=self.revision + 1, releases={**self.releases, name: versions})

    def to_bytes(self) -> bytes:
        """Serialise for publication."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def parse_index(content: bytes, url: str) -> Index:
    """Parse an index.

    Raises:
        RegistryError: it is damaged, or written by a newer zoo.
    """
    try:
        values = parse_json(content)
        schema = values.get("schema_version") if isinstance(values, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise RegistryError(
                f"the registry {url} has schema {schema}; this version reads {SCHEMA}. "
                "Run: pip install -U edge-model-zoo"
            )
        return Index.model_validate(values)
    except ValueError as error:
        raise RegistryError(
            f"the index of {url} is damaged: {first_problem(error)}. Tell its owner, or use a mirror."
        ) from None


def outgrown(seen: Index, now: Index) -> str | None:
    """Why an index can't succeed one that was seen before: it is older, or a release is missing or differs."""
    if now.revision < seen.revision or (now.revision == seen.revision and now != seen):
        return f"is at revision {now.revision}, but revision {seen.revision} was seen here before"
    for name, versions in seen.releases.items():
        for version, before in versions.items():
            after = now.find(name, version)
            if after is None:
                return f"lacks {name}@{version}, which was seen here before"
            if after.manifest != before.manifest:
                return f"has another {name}@{version} than the one seen here before"
    return None
