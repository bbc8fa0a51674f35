"""Image files of many kinds, with the pixels that a viewer shows."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

SIDE = 32  # pixels; files are square, so that no reader has to resize
ORIENTATION = 0x0112

Pixels = np.ndarray


class Kind(NamedTuple):
    """A file, its displayed pixels (uint8 H×W×3), and the tolerance for rounding."""

    path: Path
    shown: Pixels
    rounding: int = 0


def colours() -> Pixels:
    """Eight colours in blocks, without symmetry, few enough for a palette."""
    random = np.random.default_rng(3)
    palette = random.integers(0, 256, (8, 3), np.uint8)
    blocks = random.integers(0, 8, (8, 8))
    return palette[blocks].repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Pixels with an alpha channel (H×W, 0 … 255) composed on white."""
    share = alpha[..., None] / 255
    return np.round(pixels * share + 255 * (1 - share)).astype(np.uint8)


def turned(stored: Pixels, orientation: int) -> Pixels:
    """Stored pixels as EXIF tells a viewer to show them: its table of orientations, in numpy."""
    shown = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).swapaxes(0, 1),
        8: np.rot90(stored, 1),
    }
    return np.ascontiguousarray(shown[orientation])


def _grey(values: Pixels) -> Pixels:
    return np.repeat(values.astype(np.uint8)[..., None], 3, 2)


def _png_of_48_bits(path: Path, values: Pixels) -> None:
    """Write uint16 H×W×3, which Pillow can't (W3C, Portable Network Graphics)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def _tiff_of_12_bits(path: Path, values: Pixels) -> None:
    """Write H×W of 0 … 4095, W even, which Pillow can't (TIFF 6.0)."""
    height, width = values.shape
    one, two = values[:, ::2].astype(np.uint32), values[:, 1::2].astype(np.uint32)
    packed = np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], 2).astype(np.uint8).tobytes()
    tags = (
        (256, width),
        (257, height),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(packed)),
    )
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(packed)) + packed + directory + bytes(4))


def draw_kinds(folder: Path) -> dict[str, Kind]:
    """Write one file of each kind into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, Kind] = {}
    random = np.random.default_rng(4)
    rgb = colours()
    image = Image.fromarray(rgb)
    grey = np.asarray(image.convert("L"))
    wide = grey.astype(np.uint16) * 256 + random.integers(0, 256, grey.shape, np.uint16)
    bits = grey > 127
    alpha = np.repeat(np.array([0, 90, 255, 200], np.uint8), SIDE // 4)[None].repeat(SIDE, 0)
    layer = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")

    def save(name: str, image: Image.Image, shown: Pixels, rounding: int = 0, **options: Any) -> None:
        path = folder / name
        image.save(path, **options)
        kinds[name] = Kind(path, shown, rounding)

    for kind in ("png", "bmp", "tif", "gif"):
        save(f"rgb.{kind}", image, rgb)
        save(f"grey.{kind}", Image.fromarray(grey), _grey(grey))
        save(f"bits.{kind}", Image.fromarray(bits), _grey(255 * bits))
    save("rgb.webp", image, rgb, lossless=True)
    save("rgb.jp2", image, rgb, irreversible=False)
    save("rgb.ppm", image, rgb)
    save("lzw.tif", image, rgb, compression="tiff_lzw")
    save("cmyk.tif", image.convert("CMYK"), rgb)
    save("ycbcr.tif", image.convert("YCbCr"), rgb, 3)
    for mode in ("RGB", "L", "CMYK"):
        path = folder / f"{mode}.jpg"
        image.convert(mode).save(path, quality=95)
        with Image.open(path) as stored:
            kinds[path.name] = Kind(path, np.asarray(stored.convert("RGB")))

    palette = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    for kind in ("png", "bmp", "tif"):
        save(f"palette.{kind}", palette, rgb)
    first = palette.getpixel((0, 0))
    assert isinstance(first, int)
    clear = np.where(np.asarray(palette) == first, 0, 255)
    for kind in ("png", "gif"):
        save(f"clear-colour.{kind}", palette, on_white(rgb, clear), transparency=first)
    half = bytes(90 if colour == first else 255 for colour in range(8))
    save("half-colour.png", palette, on_white(rgb, np.where(clear == 0, 90, 255)), 1, transparency=half)
    save(
        "clear-rgb.png", image, on_white(rgb, (rgb != rgb[0, 0]).any(2) * 255), transparency=tuple(map(int, rgb[0, 0]))
    )
    save(
        "clear-grey.png",
        Image.fromarray(grey),
        on_white(_grey(grey), (grey != grey[0, 0]) * 255),
        transparency=int(grey[0, 0]),
    )
    for kind, options in (("png", {}), ("tif", {}), ("webp", {"lossless": True, "exact": True})):
        save(f"alpha.{kind}", layer, on_white(rgb, alpha), 1, **options)
        save(f"opaque.{kind}", image.convert("RGBA"), rgb, **options)
    save("grey-alpha.png", layer.convert("LA"), on_white(_grey(np.asarray(layer.convert("L"))), alpha), 1)

    save("wide.png", Image.fromarray(wide), _grey(grey))
    save(
        "wide-clear.png",
        Image.fromarray(wide),
        on_white(_grey(grey), (wide != wide[0, 0]) * 255),
        transparency=int(wide[0, 0]),
    )
    save("wide.jp2", Image.fromarray(wide), _grey(grey), irreversible=False)
    save("wide.pgm", Image.fromarray(wide), _grey(grey))
    save("wide-little.tif", Image.fromarray(wide), _grey(grey))
    save("wide-big.tif", Image.fromarray(wide.astype(">u2")), _grey(grey))
    _tiff_of_12_bits(folder / "wide-12.tif", wide >> 4)
    kinds["wide-12.tif"] = Kind(folder / "wide-12.tif", _grey(grey))
    _png_of_48_bits(folder / "wide-rgb.png", rgb.astype(np.uint16) * 256 + 77)
    kinds["wide-rgb.png"] = Kind(folder / "wide-rgb.png", rgb)

    more = Image.fromarray(255 - rgb)
    save("moving.gif", palette, rgb, save_all=True, append_images=[more])
    save("moving.webp", image, rgb, save_all=True, append_images=[more], lossless=True)
    save("pages.tif", image, rgb, save_all=True, append_images=[more])

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        for kind, options in (("png", {}), ("webp", {"lossless": True}), ("tif", {})):
            save(f"turned-{orientation}.{kind}", image, turned(rgb, orientation), exif=exif, **options)
        path = folder / f"turned-{orientation}.jpg"
        image.save(path, exif=exif, quality=95)
        with Image.open(folder / "RGB.jpg") as stored:
            kinds[path.name] = Kind(path, turned(np.asarray(stored), orientation))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    save("turned-alpha.png", layer, turned(on_white(rgb, alpha), 6), 1, exif=exif)
    save("turned-wide.png", Image.fromarray(wide), turned(_grey(grey), 6), exif=exif)
    save("turned-palette.png", palette, turned(rgb, 6), exif=exif)
    save("odd-orientation.png", image, rgb, exif=_exif_of(42))
    image.save(folder / "damaged-exif.jpg", quality=95, exif=b"Exif\0\0no such thing")
    kinds["damaged-exif.jpg"] = Kind(folder / "damaged-exif.jpg", kinds["RGB.jpg"].shown)
    return kinds


def _exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def draw_refused(folder: Path) -> list[Path]:
    """Files whose numbers have no defined range."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)).save(folder / "float.tif")
    Image.fromarray(np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE)).save(folder / "integer.tif")
    return sorted(folder.iterdir())
