"""Decodes an image file to the input of every network: 8-bit RGB, upright, opaque.

- Rotated by its EXIF orientation (or XMP's, without EXIF), as every viewer shows it.
- Transparent pixels are composed on white, whatever their hidden colour.
- Of 16 bits (12 in some TIFF) the upper 8 are used: 0 … 65535 becomes 0 … 255, for grey and colours.
- Numbers without a defined range (32-bit integers, floats) are refused: no scale would suit all.
- Of an animation, the first frame is used.

Needs numpy and Pillow only: the source is inlined into a release's run.py (`zoo.documents.runner`).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image
from PIL.Image import Transpose

# Not all of Pillow's formats: it would start Ghostscript for PostScript, whatever the file name.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # Pillow's errors for a bad image
WHITE = (255, 255, 255, 255)
ORIENTATION = 0x0112  # EXIF 2.32, table 4
BITS_PER_SAMPLE = 258  # TIFF 6.0
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
WIDE = ("PNG", "PPM")  # for these, Pillow's 32-bit integers are 16-bit grey


class Decoded(NamedTuple):
    """An RGB image without metadata, and what was changed besides the conversion; usually nothing."""

    image: Image.Image
    changes: tuple[str, ...]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises many errors on damaged metadata, but the pixels are good
        return 1


def _grey(image: Image.Image) -> Image.Image:
    """The upper 8 bits, mode L; a value that PNG declares transparent becomes white."""
    values = np.asarray(image)
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]  # Pillow does not shift 12 bits of a TIFF
    grey = (values >> (bits - 8)).astype(np.uint8)
    clear = image.info.get("transparency")
    if clear is not None:
        grey[values == clear] = 255
    return Image.fromarray(grey)


def _opaque(image: Image.Image) -> Decoded:
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return Decoded(layer.convert("RGB"), ())
    page = Image.new("RGBA", layer.size, WHITE)
    return Decoded(Image.alpha_composite(page, layer).convert("RGB"), ("on white",))


def _coloured(image: Image.Image) -> Decoded:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in WIDE):
        return Decoded(_grey(image).convert("RGB"), ("16 bits",))
    if image.mode[0] in "IF":
        kind = "floats" if image.mode[0] == "F" else "32-bit integers"
        raise ValueError(f"its pixels are {kind}, which have no defined range: save it with 8 or 16 bits per channel")
    return _opaque(image) if image.has_transparency_data else Decoded(image.convert("RGB"), ())


def to_rgb(image: Image.Image) -> Decoded:
    """RGB of an image of any mode; see the module.

    Raises:
        ValueError: its numbers have no defined range, or Pillow can't convert its colours.
        OSError, SyntaxError: Pillow can't decode it.
    """
    image.load()  # first: metadata may follow the pixels, and Pillow rotates a TIFF itself
    orientation = _orientation(image)
    rgb, changes = _coloured(image)
    if orientation in UPRIGHT:
        rgb, changes = rgb.transpose(UPRIGHT[orientation]), (*changes, f"orientation {orientation}")
    rgb.info = {}  # otherwise a reader of its EXIF would rotate it again
    return Decoded(rgb, changes)


def open_rgb(source: Path | IO[bytes]) -> Decoded:
    """`to_rgb` of a file, or of its bytes.

    Raises:
        see `UNREADABLE`.
    """
    with Image.open(source, formats=FORMATS) as image:
        return to_rgb(image)
