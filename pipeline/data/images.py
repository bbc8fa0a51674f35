"""Reading images, one way for training, evaluation and every runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from pipeline.errors import DataError
from pipeline.settings import Settings
from targets.errors import one_line

if TYPE_CHECKING:
    from pipeline.data.samples import Samples

# Not all that Pillow knows: it would start Ghostscript for PostScript, whatever a file is called.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises of a bad image
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


Positive = Annotated[float, Field(gt=0)]


class Input(Settings):
    """What a network sees. Height and width in pixels; mean and deviation of RGB in 0 … 1."""

    height: int = Field(256, ge=16, le=4096)
    width: int = Field(256, ge=16, le=4096)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD


def decode(source: Path | IO[bytes], name: Path | str) -> Image.Image:
    """An RGB image from a file or its bytes.

    Raises:
        DataError: it can't be decoded; `name` says which.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            return image.convert("RGB")
    except UNREADABLE as error:
        raise DataError(f"can't decode image {name}: {one_line(error)}. Replace or remove it.") from None


def to_pixels(image: Image.Image, size: Input) -> np.ndarray:
    """uint8 H×W×3 RGB of an image of any mode, resized (bilinear, antialiased); its EXIF orientation does not count."""
    return np.asarray(image.convert("RGB").resize((size.width, size.height), Image.Resampling.BILINEAR))


def read_image(path: Path, size: Input) -> np.ndarray:
    """`to_pixels` of a file.

    Raises:
        DataError: the file can't be decoded.
    """
    return to_pixels(decode(path, path), size)


def read_batches(samples: Samples, size: Input, batch: int) -> Iterator[np.ndarray]:
    """uint8 arrays of up to `batch`×H×W×3, in the order of `samples`."""
    for start in range(0, len(samples), batch):
        paths = samples.paths[start : start + batch]
        yield np.stack([read_image(samples.root / path, size) for path in paths])
