"""Decodes an image that a client sent, within the limits."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.data.decoding import UNREADABLE
from zoo.errors import ImageError
from zoo.serve.limits import MEGAPIXEL
from zoo.serve.refusal import Refusal, sentence

# What cameras, phones and browsers write. Fewer formats than files may have: each decoder is one more way in.
FORMATS = ("JPEG", "PNG", "WEBP")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")


class Reader(Protocol):
    """Makes a network's input from an image, as `zoo.use.embedder.Embedder` does."""

    def read(self, picture: Image.Image) -> np.ndarray:
        """uint8 H×W×3 RGB."""


def _too_large(name: str, pixels: int | None, most: int) -> Refusal:
    has = "more" if pixels is None else f"{pixels / MEGAPIXEL:.1f}"
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "pixels",
        f"{name} has too many pixels.",
        f"It has {has} megapixels; the limit is {most / MEGAPIXEL:g}.",
        "Scale it down; the network sees a much smaller image anyway.",
    )


def decode_picture(content: bytes, name: str, reader: Reader, most_pixels: int) -> np.ndarray:
    """The network's input from the bytes of an image: uint8 H×W×3 RGB. The number of pixels is checked before any of
    them is decoded.

    Args:
        name: of the image, for messages, such as `Image 2`.
        most_pixels: width × height.

    Raises:
        Refusal: it is empty, of another format, too large or damaged.
    """
    if not content:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "image",
            f"{name} is empty.",
            "It has no bytes.",
            "Send the whole file.",
        )
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > most_pixels:
                raise _too_large(name, pixels, most_pixels)
            return reader.read(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name, None, most_pixels) from None
    except UnidentifiedImageError:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "format",
            f"{name} has no supported format.",
            f"Its content is not one of {', '.join(FORMATS)}.",
            "Convert it, for example to PNG.",
        ) from None
    except (ImageError, *UNREADABLE) as error:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "image",
            f"{name} can't be decoded.",
            sentence(error),
            "Send the whole file, as it is on disk.",
        ) from None
