"""A contact sheet: a query image and its nearest neighbours."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from pipeline.data.images import decode
from pipeline.errors import DataError
from zoo.errors import SheetError
from zoo.output_file import check_writable, write_file
from zoo.sanitize import one_line

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
MOST = 60  # images on a sheet; more would be too many to view

# In pixels. The query is two rows of tiles high; for a single row of tiles, as high as that row.
EDGE, GAP, TILE, COLUMNS = 56, 28, 300, 5
CAPTION = 84
HEAD = 84
FONTS = (
    "Arial Unicode.ttf",
    "msyh.ttc",
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
)  # system fonts, for names not in ASCII

PAPER, CARD, RULE = "#f6f5f2", "#ffffff", "#dcd9d2"
INK, FAINT, ACCENT, TRACK = "#1d1d1f", "#77757a", "#c2410c", "#e7e4dd"


@dataclass(frozen=True)
class Neighbour:
    """One of the nearest images: its file, its displayed path, and its cosine similarity to the query."""

    file: Path
    name: str
    similarity: float


def check_sheet(path: Path, inputs: Iterable[Path]) -> None:
    """Check, before the work, that a sheet can be drawn under this name.

    Args:
        inputs: files that it must not replace.

    Raises:
        SheetError: it is neither PNG nor JPEG, or would replace one of its inputs.
        OutputError: it can't be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise SheetError(f"a sheet ends in {', '.join(FORMATS)}, not {path.name!r}. Name it {path.stem}.png.")
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise SheetError(f"the sheet {path} would replace one of its inputs. Give it another name.")
    check_writable(path)


@cache
def _font(size: int, plain: bool) -> FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font for plain ASCII, which it covers; otherwise the system font with the widest coverage."""
    for name in () if plain else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


class Pen:
    """Writes single lines."""

    def __init__(self, sheet: Image.Image) -> None:
        self.draw = ImageDraw.Draw(sheet)

    def width(self, text: str, size: int) -> float:
        """Width of a text in pixels."""
        return self.draw.textlength(text, _font(size, text.isascii()))

    def shortened(self, text: str, size: int, room: float) -> str:
        """A text shortened to fit; more of its end is kept, where file names differ."""
        if self.width(text, size) <= room:
            return text
        for kept in range(len(text) - 1, 0, -1):
            head = kept // 3
            short = f"{text[:head]}...{text[len(text) - kept + head :]}"
            if self.width(short, size) <= room:
                return short
        return ""

    def write(self, at: tuple[float, float], text: str, size: int, colour: str, anchor: str = "ls") -> None:
        """Write a text; `at` is the left (ls) or right (rs) end of its baseline."""
        self.draw.text(at, text, colour, _font(size, text.isascii()), anchor=anchor)


def place_image(sheet: Image.Image, pen: Pen, file: Path, corner: tuple[int, int], box: tuple[int, int]) -> None:
    """Draw an image on its card, uncropped and centred, or a note if it can't be read."""
    (left, top), (width, height) = corner, box
    pen.draw.rounded_rectangle((left, top, left + width - 1, top + height - 1), 10, CARD, RULE, 2)
    room = (width - 20, height - 20)
    try:
        image = decode(file, file).image
    except DataError:
        pen.write((left + width / 2, top + height / 2), "unreadable", 22, FAINT, "ms")
        return
    scale = min(room[0] / image.width, room[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(image, (left + (width - size[0]) // 2, top + (height - size[1]) // 2))


def _neighbour(sheet: Image.Image, pen: Pen, one: Neighbour, rank: int, corner: tuple[int, int]) -> None:
    left, top = corner
    place_image(sheet, pen, one.file, corner, (TILE, TILE))
    line = top + TILE + 34
    pen.write((left + 2, line), str(rank), 26, ACCENT)
    pen.write((left + TILE - 2, line), f"{one.similarity:.3f}", 26, INK, "rs")
    start = left + 2 + max(44, pen.width(str(rank), 26) + 14)
    end = left + TILE - 2 - pen.width("-0.000", 26) - 6
    pen.draw.rounded_rectangle((start, line - 13, end, line - 6), 3, TRACK)
    filled = start + (end - start) * max(0.0, min(1.0, one.similarity))
    if filled - start >= 6:
        pen.draw.rounded_rectangle((start, line - 13, filled, line - 6), 3, ACCENT)
    name = one_line(one.name.rpartition("/")[2])
    pen.write((left + 2, line + 34), pen.shortened(name, 22, TILE - 4), 22, FAINT)


def draw_sheet(query: Path, nearest: Sequence[Neighbour], title: str) -> Image.Image:
    """The query on the left; its neighbours in rows: image, rank, similarity (also as a bar from 0 to 1), file name.

    Images are shown uncropped, upright and on white, as the network sees them.

    Args:
        nearest: nearest first; the first 60 are drawn.
        title: shown above the neighbours.
    """
    drawn = nearest[:MOST]
    columns = min(COLUMNS if len(drawn) <= 15 else 8, max(1, len(drawn)))
    rows = -(-len(drawn) // columns)
    query_side = 2 * TILE + GAP if rows > 1 else TILE + 24
    step, row = TILE + GAP, TILE + CAPTION + GAP
    left = EDGE + query_side + 2 * GAP
    width = left + 2 * GAP + columns * step - GAP + EDGE
    height = EDGE + HEAD + max(rows * row - GAP, query_side + CAPTION) + EDGE - 20
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = Pen(sheet)

    top = EDGE + HEAD
    pen.write((EDGE, EDGE + 34), "Query", 34, ACCENT)
    place_image(sheet, pen, query, (EDGE, top), (query_side, query_side))
    pen.write((EDGE + 2, top + query_side + 40), pen.shortened(one_line(query.name), 26, query_side), 26, INK)

    pen.draw.line((left, EDGE, left, height - EDGE), RULE, 2)
    first = left + 2 * GAP
    pen.write((first, EDGE + 34), pen.shortened(one_line(title), 28, width - EDGE - first), 28, INK)
    for place, one in enumerate(drawn):
        corner = (first + place % columns * step, top + place // columns * row)
        _neighbour(sheet, pen, one, place + 1, corner)
    return sheet


def write_sheet(path: Path, sheet: Image.Image) -> None:
    """Write a sheet in the format of its suffix, in one rename.

    Raises:
        OutputError: it can't be written.
    """
    content = io.BytesIO()
    if FORMATS[path.suffix.lower()] == "JPEG":
        sheet.save(content, "JPEG", quality=92, subsampling=0)
    else:
        sheet.save(content, "PNG")
    write_file(path, content.getvalue())
