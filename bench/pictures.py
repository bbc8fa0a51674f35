"""Whether a registry holds pictures. Those of data sets must not be published with a model: weights and figures are.

Allowed are golden inputs, if they are the picture that zoo draws from a seed, pixel by pixel. Everything else that is
an image, holds one, or could hold some (an archive, an array: bundles for devices contain the test set) is reported.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.images import Input
from zoo.documents.golden import draw
from zoo.layout import GOLDEN_INPUT
from zoo.registry.index import INDEX, Blob, Index, Listed
from zoo.registry.places.folder import Folder
from zoo.registry.publish import read_index, read_listed
from zoo.release.manifest import Manifest

STARTS = {
    b"\x89PNG\r\n\x1a\n": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"BM": "a BMP image",
    b"RIFF": "a WebP image", b"II*\x00": "a TIFF image", b"MM\x00*": "a TIFF image", b"%PDF": "a PDF document",
    b"PK\x03\x04": "an archive", b"\x1f\x8b": "an archive", b"\xfd7zXZ": "an archive", b"BZh": "an archive",
    b"\x93NUMPY": "an array",
}  # fmt: skip
# Long enough not to occur in weights by chance. JPEG images as cameras and Pillow write them are JFIF or Exif.
INSIDE = {
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR": "a PNG image", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00": "a JPEG image",
    b"Exif\x00\x00II*\x00": "a JPEG image", b"Exif\x00\x00MM\x00*": "a JPEG image", b"data:image/": "an image as text",
    b"\x93NUMPY\x01\x00": "an array", b"\x93NUMPY\x02\x00": "an array",
}  # fmt: skip
ROUNDING = 2  # of 255: versions of Pillow round differently when they resize
TAR = (257, b"ustar")


def looks_like(content: bytes) -> str | None:
    """What content is or contains, if that is a picture or could be some."""
    if content[TAR[0] : TAR[0] + len(TAR[1])] == TAR[1]:
        return "an archive"
    found = next((what for start, what in STARTS.items() if content.startswith(start)), None)
    return found or next((f"with {what} inside" for mark, what in INSIDE.items() if mark in content), None)


def is_drawn(content: bytes, manifest: Manifest) -> bool:
    """Whether this is the golden input that zoo draws for a release, and nothing beside the picture."""
    picture = draw(Input.model_validate(manifest.recipe["input"]))
    with Image.open(io.BytesIO(content)) as image:
        if image.mode != "RGB" or image.info or (image.height, image.width) != picture.shape[:2]:
            return False
        return bool(np.abs(np.asarray(image).astype(int) - picture).max() <= ROUNDING)


def blobs_of(listed: Listed, manifest: Manifest) -> dict[str, str]:
    """Paths in a registry of all files of a release, with what each is."""
    files = {Blob(sha256=file.sha256, size_bytes=file.size_bytes).path: file.path for file in manifest.files}
    signatures = {one.blob.path: "a signature" for one in listed.signatures}
    records = {blob.path: "a measurement" for blob in listed.measurements}
    return {**files, **signatures, **records, listed.manifest.path: "the manifest"}


def releases_of(place: Folder, index: Index) -> Iterator[tuple[str, Listed, Manifest]]:
    """Every release of a registry: name@version, its entry, its manifest."""
    for name, versions in index.releases.items():
        for version, listed in versions.items():
            label = f"{name}@{version}"
            yield label, listed, read_listed(place, label, listed)[1]


def pictures(root: Path) -> Iterator[str]:
    """Lines about files of a registry in a folder that are or hold pictures, or belong to no release."""
    place = Folder(root)
    known: set[str] = set()
    for label, listed, manifest in releases_of(place, read_index(place)):
        for path, what in blobs_of(listed, manifest).items():
            known.add(path)
            content = (root / path).read_bytes()
            if what == GOLDEN_INPUT:
                if not is_drawn(content, manifest):
                    yield f"{label}: {what} is not the picture that zoo draws"
            elif found := looks_like(content):
                yield f"{label}: {what} is a file {found}" if "inside" in found else f"{label}: {what} is {found}"
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.is_file() and name not in (*known, INDEX, "README.md"):
            yield f"{name} belongs to no release"
