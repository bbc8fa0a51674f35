"""The OCI artifact of a release, so that `oras pull` and other tools of container registries can use it as well.

    artifactType  application/vnd.edge-model-zoo.release.v1+json
    layers        manifest.json, then the release's files, each with its path (org.opencontainers.image.title)
    annotations   org.opencontainers.image.title, version, description, licenses, created

Source: OCI Image Specification 1.1, "Guidelines for artifact usage" and "Annotations".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.layout import MANIFEST, MEASUREMENTS
from zoo.registry.index import Listed
from zoo.sanitize import parse_json

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
KIND = "application/vnd.edge-model-zoo.{}.v1+json"  # release, index, claim
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"
ABOUT = "org.opencontainers.image.{}"
EMPTY = b"{}"
TYPES = {
    ".json": "application/json", ".md": "text/markdown", ".png": "image/png", ".py": "text/x-python",
    ".xml": "application/xml",
}  # fmt: skip
LONGEST_TAG = 128


def described(digest: str, size: int, title: str = "", kind: str = "") -> dict[str, Any]:
    """A descriptor of a blob; `digest` is its sha256 without prefix."""
    kind = kind or TYPES.get(PurePosixPath(title).suffix, "application/octet-stream")
    plain = {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}
    return plain | ({"annotations": {TITLE: title}} if title else {})


def artifact(kind: str, layers: Iterable[Mapping[str, Any]], annotations: Mapping[str, str]) -> dict[str, Any]:
    """An OCI manifest of one of our kinds. Its configuration is the empty object, which has to be uploaded as well."""
    empty = described(hashlib.sha256(EMPTY).hexdigest(), len(EMPTY), kind="application/vnd.oci.empty.v1+json")
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    listed = [*map(dict, layers)]
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": KIND.format(kind),
        "config": empty,
        # the specification asks for at least one layer
        "layers": listed or [empty],
        "annotations": {CREATED: created, **annotations},
    }


def blobs_of(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Sizes of the layers of an OCI manifest, by digest without prefix; what is malformed is left out."""
    found = {}
    for layer in manifest.get("layers") or []:
        match layer:
            case {"digest": str(digest), "size": int(size)} if digest.startswith("sha256:"):
                found[digest.removeprefix("sha256:")] = size
    return found


def created(manifest: Mapping[str, Any]) -> float:
    """When an OCI manifest of ours was made, s since 1970; now, if it does not say."""
    try:
        return datetime.fromisoformat(manifest["annotations"][CREATED]).timestamp()
    except (KeyError, TypeError, ValueError):
        return datetime.now(timezone.utc).timestamp()


def release_tag(name: str, version: str) -> str | None:
    """The tag by which people and other tools know a release; None if it would be too long."""
    tag = f"{name}-{version}"
    return tag if len(tag) <= LONGEST_TAG else None


def release_artifact(name: str, version: str, listed: Listed, blobs: Mapping[str, Path]) -> dict[str, Any]:
    """The artifact of a release with the given files, or of new measurements and signatures of one.

    Args:
        blobs: files by digest, among them the release's manifest.
    """
    titles: dict[str, list[str]] = {}

    def called(digest: str, path: str) -> None:
        if digest in blobs and path not in titles.setdefault(digest, []):
            titles[digest].append(path)

    called(listed.manifest.sha256, MANIFEST)
    told = parse_json(blobs[listed.manifest.sha256].read_bytes()) if listed.manifest.sha256 in blobs else {}
    for file in (*told.get("artifacts", ()), *told.get("documents", ())):
        called(file["sha256"], file["path"])
    for record in listed.measurements:
        called(record.sha256, f"{MEASUREMENTS}/{record.sha256[:12]}.json")
    for signature in listed.signatures:
        called(signature.blob.sha256, f"signatures/{signature.key[:12]}.json")
    size = {digest: path.stat().st_size for digest, path in blobs.items()}
    known = [described(digest, size[digest], path) for digest, paths in titles.items() for path in paths]
    others = [described(digest, size[digest]) for digest in blobs if digest not in titles]
    annotations = {ABOUT.format("title"): name, ABOUT.format("version"): version}
    if told.get("description"):
        annotations[ABOUT.format("description")] = told["description"]
    if weights := told.get("licenses", {}).get("weights"):
        annotations[ABOUT.format("licenses")] = weights
    return artifact("release", known + others, annotations)
