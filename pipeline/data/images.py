"""Reading of images, in the same way for training, evaluation and every runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from pipeline.data.decoding import FORMATS, UNREADABLE, Decoded, open_rgb, to_rgb
from pipeline.data.suffixes import CONVERT, UNREAD
from pipeline.errors import DataError
from pipeline.settings import Settings
from targets.errors import first_line

if TYPE_CHECKING:
    from pipeline.data.samples import Samples

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


Positive = Annotated[float, Field(gt=0)]


class Input(Settings):
    """Input of a network. Height and width in pixels; mean and deviation of RGB in 0 … 1.

    Without mean or deviation (null), those of the pretrained weights apply (`Recipe.settled`), or ImageNet's for a
    network from scratch.
    """

    height: int = Field(256, ge=16, le=4096)
    width: int = Field(256, ge=16, le=4096)
    mean: tuple[float, float, float] | None = None
    std: tuple[Positive, Positive, Positive] | None = None

    @property
    def normalisation(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and deviation."""
        return self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD


def _why(source: Path | IO[bytes], name: Path | str, error: Exception) -> str:
    """Why an image can't be decoded, without Pillow's name of the object it was read from."""
    if not isinstance(error, UnidentifiedImageError):
        return first_line(error)
    with suppress(OSError):
        if (source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)) == 0:
            return "the file is empty"
    if str(name).lower().endswith(UNREAD):
        return f"such files are not supported: {CONVERT}"
    return f"it is not one of {', '.join(FORMATS)}"


def decode(source: Path | IO[bytes], name: Path | str) -> Decoded:
    """Decode a file or its bytes to an upright, opaque RGB image (`pipeline.data.decoding`), with the changes made.

    Raises:
        DataError: it can't be decoded, or its numbers have no defined range; `name` identifies it.
    """
    try:
        return open_rgb(source)
    except UNREADABLE as error:
        raise DataError(f"can't decode image {name}: {_why(source, name, error)}. Replace or remove it.") from None


def resized(image: Image.Image, size: Input) -> np.ndarray:
    """uint8 H×W×3 of an RGB image, resized (bilinear, antialiased)."""
    return np.asarray(image.resize((size.width, size.height), Image.Resampling.BILINEAR))


def to_pixels(image: Image.Image, size: Input) -> np.ndarray:
    """`resized` of an image of any mode, made upright, opaque and 8-bit like files."""
    return resized(to_rgb(image).image, size)


def read_image(path: Path, size: Input) -> np.ndarray:
    """`resized` of a file.

    Raises:
        DataError: see `decode`.
    """
    return resized(decode(path, path).image, size)


def read_batches(samples: Samples, size: Input, batch: int) -> Iterator[np.ndarray]:
    """uint8 arrays of up to `batch`×H×W×3, in the order of `samples`."""
    for start in range(0, len(samples), batch):
        paths = samples.paths[start : start + batch]
        yield np.stack([read_image(samples.root / path, size) for path in paths])
