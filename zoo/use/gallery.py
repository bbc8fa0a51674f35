"""Embeddings of a folder of images: computed, stored in one .npz, and searched.

The file is a numpy archive without pickle:

    paths           N, text: images below the folder, with /, sorted
    embeddings      N×D, float32, rows of length 1
    sizes           N, int64: sizes of the embedded files, bytes
    mtimes_ns       N, int64: their modification times, ns since 1970
    sha256          N, text: digests of their content
    model           text: name@version
    target          text: target or runtime, as `zoo.load(model, target)` takes it
    precision       text
    artifact_sha256 text: digest of the artifact
    folder          text: folder of the images, to find them again; not part of the gallery's identity
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.data.images import decode
from pipeline.data.suffixes import CONVERT, SUFFIXES
from pipeline.data.walk import walk
from pipeline.errors import DataError
from pipeline.progress import Progress
from targets.errors import first_line
from zoo.errors import GalleryError, ImageError
from zoo.output_file import write_file
from zoo.use.embedder import Embedder
from zoo.use.origin import Skipped
from zoo.use.unchanged import File

SHEET = ".sheet"  # `zoo query car.jpg` draws `car.sheet.png`, which is not an image of a gallery
FILES = ("sizes", "mtimes_ns", "sha256")
INDEX, HEAD = b"zoo.index/", 4096  # what says in the first bytes of a file that it is an index
TEXTS = ("model", "target", "precision", "artifact_sha256", "folder")


@dataclass(frozen=True, eq=False)
class Gallery:
    """See the module for the fields. `skipped` is known only for a gallery that was just computed."""

    paths: tuple[str, ...]
    files: tuple[File, ...]
    embeddings: np.ndarray
    model: str
    target: str
    precision: str
    artifact_sha256: str
    folder: Path
    skipped: tuple[Skipped, ...] = field(default=())

    @property
    def count(self) -> int:
        """Images."""
        return len(self.paths)

    @property
    def dimension(self) -> int:
        """D, components of an embedding."""
        return int(self.embeddings.shape[1])

    def nearest(self, embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of all images and their cosine similarities.

        Args:
            embedding: D, of length 1.

        Returns:
            int64 and float32, nearest first; equal ones in the order of paths.
        """
        similarity = np.clip(self.embeddings @ embedding, -1, 1)
        places = np.argsort(-similarity, kind="stable")
        return places, similarity[places]


@dataclass(frozen=True)
class FoundImages:
    """Sorted paths below a folder, with /: images, and pictures in formats that are not supported."""

    images: list[str]
    unread: list[str]


def find_images(folder: Path) -> FoundImages:
    """Find images below a folder. Hidden files and folders are ignored, links are followed.

    Raises:
        GalleryError: it is not a folder, or something in it can't be read.
    """
    if folder.is_file():
        raise GalleryError(f"{folder} is a file. Name the folder that holds the images.")
    images, unread = [], []
    try:
        for path, kind in walk(folder):
            if kind == "image" and not PurePosixPath(path).stem.endswith(SHEET):
                images.append(path)
            elif kind == "unread":
                unread.append(path)
    except OSError as error:
        if Path(error.filename) == folder:
            remedy = "Name a folder of images."
            raise GalleryError(f"can't read the folder {folder}: {error.strerror}. {remedy}") from None
        remedy = f"Make it readable, or take it out of {folder}."
        raise GalleryError(f"can't read {error.filename}: {error.strerror}. {remedy}") from None
    return FoundImages(sorted(images), sorted(unread))


def _read(embedder: Embedder, path: Path) -> tuple[np.ndarray, File]:
    """The network's input from a file, and the file's state, of the same bytes that were decoded.

    Raises:
        ImageError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            stat, content = os.fstat(file.fileno()), file.read()
        pixels = embedder.read(decode(io.BytesIO(content), path).image)
    except DataError as error:
        raise ImageError(str(error)) from None
    except OSError as error:
        raise ImageError(f"can't read image {path}: {error.strerror}. Replace or remove it.") from None
    return pixels, File(len(content), stat.st_mtime_ns, hashlib.sha256(content).hexdigest())


def embed_folder(embedder: Embedder, folder: Path, batch: int, progress: Progress) -> Gallery:
    """Embed all images below a folder. One that can't be read is skipped with a message.

    Raises:
        GalleryError: there is no image, or none can be read.
    """
    found = find_images(folder)
    paths = found.images
    if not paths:
        unread = f" {found.unread[0]} has an unsupported format: {CONVERT}." if found.unread else ""
        raise GalleryError(f"no images below {folder} ({' '.join(SUFFIXES)}).{unread} Name a folder that holds some.")
    kept: dict[str, File] = {}
    skipped = [Skipped(path, f"{PurePosixPath(path).suffix} is not supported: {CONVERT}") for path in found.unread]
    for one in skipped:
        progress.say(f"skipped: {folder / one.path}: {one.why}")
    with progress.bar("embedding", len(paths)) as bar:

        def readable() -> Iterator[np.ndarray]:
            for path in paths:
                try:
                    pixels, file = _read(embedder, folder / path)
                except ImageError as error:
                    skipped.append(Skipped(path, str(error)))
                    progress.say(f"skipped: {error}")
                else:
                    kept[path] = file
                    yield pixels
                bar.advance()

        embeddings = embedder.embed(readable(), batch)
    if not kept:
        raise GalleryError(
            f"none of {len(paths)} images below {folder} can be read. Replace them, or name another folder."
        )
    about = (embedder.release, embedder.target, embedder.precision, embedder.artifact_sha256)
    return Gallery(tuple(kept), tuple(kept.values()), embeddings, *about, folder.absolute(), tuple(skipped))


def write_gallery(path: Path, gallery: Gallery) -> None:
    """Write a gallery; equal galleries give equal bytes.

    Raises:
        OutputError: it can't be written.
    """
    arrays: dict[str, Any] = {name: np.array(str(getattr(gallery, name))) for name in TEXTS}
    arrays |= {
        "sizes": np.array([one.size_bytes for one in gallery.files], np.int64),
        "mtimes_ns": np.array([one.mtime_ns for one in gallery.files], np.int64),
        "sha256": np.array([one.sha256 for one in gallery.files]),
    }
    content = io.BytesIO()
    np.savez(content, paths=np.array(gallery.paths), embeddings=gallery.embeddings, **arrays)
    write_file(path, content.getvalue())


def check_exists(where: Path) -> None:
    """Check that a gallery is there, before anything is said of its form.

    Raises:
        GalleryError: it is not.
    """
    if not where.exists():
        raise GalleryError(f"the gallery {where} does not exist. Name a folder of images, or a file of zoo embed.")


def _valid(arrays: dict[str, np.ndarray]) -> None:
    paths, embeddings = arrays["paths"], arrays["embeddings"]
    texts = [arrays[name] for name in TEXTS]
    if paths.dtype.kind != "U" or paths.ndim != 1 or any(one.dtype.kind != "U" or one.ndim for one in texts):
        raise ValueError("paths and names are not text")
    if embeddings.dtype != np.float32 or embeddings.ndim != 2 or len(embeddings) != len(paths) or not len(paths):
        raise ValueError(
            f"{len(paths)} paths with embeddings {embeddings.dtype} {'×'.join(map(str, embeddings.shape))}"
        )
    if any(
        arrays[name].shape != paths.shape or arrays[name].dtype.kind != kind
        for name, kind in zip(FILES, "iiU", strict=True)
    ):
        raise ValueError("sizes, times and sha256 do not match its images")
    if not np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3):
        raise ValueError("embeddings do not have length 1")
    for path in map(PurePosixPath, paths.tolist()):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} leads out of the folder")


def read_gallery(path: Path) -> Gallery:
    """Read a file of `write_gallery`.

    Raises:
        GalleryError: it can't be read, or is not a gallery.
    """
    try:
        with path.open("rb") as content:
            if INDEX in content.read(HEAD):
                raise GalleryError(f"{path} is an index, not a gallery. Search it with --index {path}")
            if not zipfile.is_zipfile(content):
                raise ValueError("it is not an archive of arrays")
            if any(info.compress_type != zipfile.ZIP_STORED for info in zipfile.ZipFile(content).infolist()):
                raise ValueError("it is compressed, which zoo embed never does")  # may be a decompression bomb
        with np.load(path, allow_pickle=False) as file:
            if "paths" in file and not {*FILES} <= {*file}:
                raise ValueError("it lacks sizes, times and sha256 of its images: an older version wrote it")
            arrays = {name: file[name] for name in ("paths", "embeddings", *FILES, *TEXTS)}
        _valid(arrays)
    except GalleryError:
        raise
    except OSError as error:
        raise GalleryError(
            f"can't read the gallery {path}: {error.strerror or error}. Name a folder of images, or a file of zoo "
            "embed."
        ) from None
    except Exception as error:  # noqa: BLE001 - numpy's reader raises many errors on invalid files
        told = first_line(error)
        raise GalleryError(f"{path} is not a gallery: {told}. Make one: zoo embed FOLDER -o gallery.npz") from None
    model, target, precision, artifact, folder = (str(arrays[name]) for name in TEXTS)
    paths = tuple(arrays["paths"].tolist())
    files = tuple(map(File, *(arrays[name].tolist() for name in FILES)))
    return Gallery(paths, files, arrays["embeddings"], model, target, precision, artifact, Path(folder))
