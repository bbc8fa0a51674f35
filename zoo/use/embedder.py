"""`zoo.load(name).embed(images)`: embeddings of a release on an available runtime. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from pydantic import PositiveInt, TypeAdapter, ValidationError

from pipeline.data.decoding import UNREADABLE
from pipeline.data.images import Input, read_image, to_pixels
from pipeline.errors import DataError
from targets.contract import Job, Session
from targets.errors import TargetError, first_line
from targets.settings import EMBED_BATCH
from zoo.catalogue import Catalogue, load_catalogue
from zoo.errors import ImageError, ManifestError, NothingRuns, ZooError
from zoo.home import Home
from zoo.release.local import Release, find_release, read_folder, recorded
from zoo.release.manifest import Manifest
from zoo.use.runnable import Runnable, known_targets
from zoo.use.sessions import start_best

Picture: TypeAlias = "np.ndarray | Image.Image | str | os.PathLike[str]"


def _pixels_of_array(array: np.ndarray, size: Input) -> np.ndarray:
    shape = "×".join(map(str, array.shape)) or "one number"
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError(f"an image array must be H×W×3, RGB; this one is {shape}")
    if array.dtype != np.uint8:
        raise ImageError(f"an image array must be uint8, 0 … 255; this one is {array.dtype}")
    return to_pixels(Image.fromarray(np.ascontiguousarray(array)), size)


def read_picture(picture: Picture, size: Input) -> np.ndarray:
    """Read a picture and resize it as evaluation does: uint8 H×W×3 RGB.

    Raises:
        ImageError: it has an unsupported type or form, or can't be decoded.
    """
    match picture:
        case np.ndarray():
            return _pixels_of_array(picture, size)
        case Image.Image():
            try:
                return to_pixels(picture, size)
            except UNREADABLE as error:
                raise ImageError(f"Pillow can't decode it: {first_line(error)}") from None
        case str() | os.PathLike():
            try:
                return read_image(Path(picture), size)
            except DataError as error:
                raise ImageError(str(error)) from None
    raise ImageError(f"pass uint8 arrays, PIL images or paths, not {type(picture).__name__}")


def _each(images: Picture | Iterable[Picture]) -> Iterable[Any]:
    """The given images, one by one. An array of four axes is a batch."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OU":
        if images.ndim not in (3, 4):
            shape = "×".join(map(str, images.shape))
            raise ImageError(f"image arrays must be H×W×3 or N×H×W×3, RGB, uint8; this one is {shape}.")
        return images if images.ndim == 4 else [images]
    if isinstance(images, Image.Image | str | os.PathLike) or not isinstance(images, Iterable):
        return [images]
    return images


class Embedder:
    """A loaded release. Several threads may use it: they read images concurrently and compute in turn.

    Attributes:
        release: name@version.
        target: the release's target whose artifact runs, or the runtime of its fp32 graph; `load(release, target)`
            returns the same again.
        precision: fp32, fp16 or int8.
        runtime: name of the runtime.
        artifact_sha256: digest of the artifact, see `Runnable.sha256`.
        input_size: height and width in pixels to which images are resized.
        dimension: D, components of an embedding.
        largest_batch: images that the artifact takes at once.
    """

    def __init__(self, manifest: Manifest, size: Input, runnable: Runnable, session: Session, limit: int) -> None:
        self.release = manifest.label
        self.target, self.precision = runnable.target, runnable.precision
        self.runtime = runnable.settings.runtime if runnable.settings else ""
        self.artifact_sha256 = runnable.sha256
        self.input_size = (size.height, size.width)
        self.largest_batch = limit
        self._size, self._session, self._lock = size, session, Lock()
        self.dimension = session.embed(np.zeros((1, *self.input_size, 3), np.uint8)).shape[1]

    def __repr__(self) -> str:
        return f"<Embedder {self.release} as {self.target}, {self.precision}>"

    def read(self, picture: Picture) -> np.ndarray:
        """The network's input from an image: uint8 H×W×3 RGB.

        Raises:
            ImageError: see `read_picture`.
        """
        return read_picture(picture, self._size)

    def embed(self, images: Picture | Iterable[Picture], batch: int = EMBED_BATCH) -> np.ndarray:
        """Embed images: float32 N×D, rows of length 1; the dot product of two rows is their cosine similarity.

        Args:
            images: uint8 RGB arrays N×H×W×3 or H×W×3 of any size, PIL images of any mode, paths, or any iterable of
                these. All are read as in evaluation (`pipeline.data.decoding`): rotated by EXIF, transparency on white,
                and resized.
            batch: images per call, at most the artifact's compiled limit. Changes embeddings by rounding only.

        Raises:
            ImageError: says which image (from 0) is wrong, and why.
        """
        if batch < 1:
            raise ImageError(f"batch must be at least 1, not {batch}.")
        rows, waiting = [np.empty((0, self.dimension), np.float32)], []
        for place, picture in enumerate(_each(images)):
            try:
                waiting.append(self.read(picture))
            except ImageError as error:
                raise ImageError(f"image {place}: {error}") from None
            if len(waiting) == min(batch, self.largest_batch):
                rows.append(self.embed_pixels(np.stack(waiting), place + 1 - len(waiting)))
                waiting = []
        if waiting:
            rows.append(self.embed_pixels(np.stack(waiting), sum(map(len, rows))))
        return np.concatenate(rows)

    def embed_pixels(self, pixels: np.ndarray, first: int = 0) -> np.ndarray:
        """Embed what `read` returned: uint8 N×H×W×3, at most `largest_batch`; float32 N×D, rows of length 1.

        Args:
            first: number of the first image in messages.

        Raises:
            ImageError: an embedding is not finite.
        """
        with self._lock:
            rows = self._session.embed(pixels).astype(np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(bad):
            raise ImageError(
                f"image {first + bad[0]}: its embedding by {self.target} in {self.precision} is not finite. Use "
                "another target."
            )
        unit: np.ndarray = rows / lengths  # fp16 leaves them wrong by a thousandth
        return unit


def _read_settings(manifest: Manifest) -> tuple[Input, int]:
    """The network's input size, and the largest batch that all artifacts accept."""
    try:
        size = Input.model_validate(manifest.recipe["input"])
        batches = TypeAdapter(list[PositiveInt]).validate_python(manifest.recipe["measure"]["batches"])
    except (KeyError, TypeError, ValidationError):
        raise ManifestError(
            f"the manifest of {manifest.label} lacks input or measure.batches. Build it again."
        ) from None
    return size, max(EMBED_BATCH, *batches)


def _found(name: str | os.PathLike[str], home: Home | None) -> tuple[Release, Catalogue | None]:
    """A release by its name in a home or by its folder, and the catalogue to use (None: the user's)."""
    if isinstance(name, os.PathLike) or (isinstance(name, str) and (set(name) & {"/", os.sep} or name in (".", ".."))):
        return read_folder(Path(name).expanduser().absolute()), known_targets(home.catalogue if home else None)
    if not isinstance(name, str):
        raise ManifestError(f"a release must be NAME, NAME@VERSION or a folder, not {type(name).__name__}.")
    if home:
        return find_release(home, name), known_targets(home.catalogue)
    return find_release(Home.find(), name), None


def load(
    name: str | os.PathLike[str],
    target: str | None = None,
    threads: int | None = None,
    home: str | os.PathLike[str] | None = None,
) -> Embedder:
    """Load a release that is on this machine; see `zoo.load` for the arguments.

    Raises:
        ManifestError: there is no such release, or one of its files is damaged or can't be read.
        NothingRuns: no artifact runs here; the message says what to install.
        ZooError: the root of all errors; `threads` is not valid.
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ZooError(f"threads must be an integer of at least 1, not {threads!r}.")
    release, catalogue = _found(name, None if home is None else Home.at(home))
    size, limit = _read_settings(release.manifest)
    job = Job(size.height, size.width, (1, limit))
    try:
        runnable, session = start_best(release, job, target, threads, catalogue)
        return Embedder(release.manifest, size, runnable, session, limit)
    except TargetError as error:  # a release without a golden input
        raise NothingRuns(f"{release.manifest.label} does not run here: {error}") from None
    except OSError as error:
        raise NothingRuns(
            f"{release.manifest.label} can't be started here: {error.strerror or error}. Use another target."
        ) from None


def default_release(home: Home) -> str:
    """The release to use if none is named: the only one here, or the catalogue's default.

    Raises:
        ManifestError: there is none, or there are several and none is the default.
    """
    names = list(recorded(home))
    if len(names) == 1:
        return names[0]
    default = load_catalogue().default
    if not names:
        raise ManifestError(f"no release in {home.root}. Build one: zoo build {default}; or get it: zoo pull {default}")
    if default not in names:
        raise ManifestError(f"which model? There are {', '.join(names)}. Name it: --model {names[0]}")
    return default
