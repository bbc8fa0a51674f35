"""From what an image file holds to what every network sees: 8-bit RGB, upright, opaque.

- Turned as its EXIF orientation says (or XMP's, where EXIF says nothing), as every viewer shows it.
- Transparent pixels are composed on white, whatever colour is hidden below them.
- Of 16 bits (12 in some TIFF) the upper 8 count: 0 … 65535 becomes 0 … 255, of grey and of colours.
- Numbers without a stated range (32-bit integers, floats) are refused: no scale would be right for all.
- An animation is its first frame.

Needs numpy and Pillow only: the source goes into the run.py of a release (`zoo.documents.runner`).
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image
from PIL.Image import Transpose

# Not all that Pillow knows: it would start Ghostscript for PostScript, whatever a file is called.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises of a bad image
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
WIDE = ("PNG", "PPM")  # of these Pillow's 32-bit integers are 16-bit grey


class Decoded(NamedTuple):
    """An RGB image without metadata, and what was done to it beside converting; empty for most."""

    image: Image.Image
    changes: tuple[str, ...]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow fails in many ways on damaged metadata, and the pixels are good
        return 1


def _grey(image: Image.Image) -> Image.Image:
    """The upper 8 bits, L; a value that PNG calls transparent becomes white."""
    values = np.asarray(image)
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]  # Pillow leaves 12 of a TIFF where they are
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
        raise ValueError(f"its pixels are {kind}, which have no stated range: save it with 8 or 16 bits a channel")
    return _opaque(image) if image.has_transparency_data else Decoded(image.convert("RGB"), ())


def to_rgb(image: Image.Image) -> Decoded:
    """RGB of an image of any mode, see the module.

    Raises:
        ValueError: its numbers have no stated range, or its colours are of a kind that Pillow can't convert.
        OSError, SyntaxError: Pillow can't decode it.
    """
    image.load()  # first: metadata may stand behind the pixels, and of a TIFF Pillow turns the pixels itself
    orientation = _orientation(image)
    rgb, changes = _coloured(image)
    if orientation in UPRIGHT:
        rgb, changes = rgb.transpose(UPRIGHT[orientation]), (*changes, f"orientation {orientation}")
    rgb.info = {}  # or it would be turned again by whoever reads its EXIF
    return Decoded(rgb, changes)


def open_rgb(source: Path | IO[bytes]) -> Decoded:
    """`to_rgb` of a file, or of its bytes.

    Raises:
        see `UNREADABLE`.
    """
    with Image.open(source, formats=FORMATS) as image:
        return to_rgb(image)
