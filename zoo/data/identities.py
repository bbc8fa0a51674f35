"""A contact sheet of some identities, one row each, to check that the pattern groups images correctly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.data.dataset import FoundImages
from zoo.sanitize import one_line
from zoo.use.sheet import EDGE, FAINT, HEAD, INK, PAPER, Pen, place_image

SHOWN, LEAST = 8, 4  # most images per identity; fewest columns of a row, so that its text fits
SIDE, GAP, LABEL = 200, 14, 52  # pixels


@dataclass(frozen=True)
class IdentityRow:
    """An identity: its name, its splits, and some of its images."""

    name: str
    about: str
    files: tuple[Path, ...]


def _spread(count: int, wanted: int) -> list[int]:
    """Indices of `wanted` out of `count`, evenly spaced, with the first and the last; all if there are fewer."""
    if count <= wanted or wanted < 2:
        return list(range(min(count, wanted)))
    return [place * (count - 1) // (wanted - 1) for place in range(wanted)]


def some_identities(found: FoundImages, count: int) -> list[IdentityRow]:
    """Identities from the most images to the fewest, evenly spaced; at most 8 images of each, evenly spaced by path."""
    paths: dict[str, dict[str, None]] = {}
    splits: dict[str, dict[str, int]] = {}
    for split, rows in found.rows.items():
        for row in rows:
            paths.setdefault(row.identity, {})[row.path] = None
            in_splits = splits.setdefault(row.identity, {})
            in_splits[split] = in_splits.get(split, 0) + 1
    names = sorted(paths, key=lambda name: (-len(paths[name]), name))
    chosen = []
    for name in (names[place] for place in _spread(len(names), count)):
        its = sorted(paths[name])
        shown = [its[place] for place in _spread(len(its), SHOWN)]
        about = ", ".join(f"{number} in {split}" for split, number in splits[name].items())
        about += f"; {len(shown)} of {len(its)} images" if len(shown) < len(its) else ""
        chosen.append(IdentityRow(name, about, tuple(found.root / path for path in shown)))
    return chosen


def draw_identities(rows: Sequence[IdentityRow], title: str) -> Image.Image:
    """One row per identity: its name, its splits, and its images, uncropped."""
    columns = max(LEAST, *(len(row.files) for row in rows))
    width = 2 * EDGE + columns * (SIDE + GAP) - GAP
    step = LABEL + SIDE + 2 * GAP
    sheet = Image.new("RGB", (width, EDGE + HEAD + len(rows) * step - 2 * GAP + EDGE), PAPER)
    pen = Pen(sheet)
    room = width - 2 * EDGE
    pen.write((EDGE, EDGE + 34), pen.shortened(one_line(title), 28, room), 28, INK)
    for number, row in enumerate(rows):
        top = EDGE + HEAD + number * step
        name = pen.shortened(one_line(row.name), 26, room / 2)
        pen.write((EDGE + 2, top + 30), name, 26, INK)
        start = EDGE + 2 + pen.width(name, 26) + 20
        pen.write((start, top + 30), pen.shortened(row.about, 22, width - EDGE - start), 22, FAINT)
        for place, file in enumerate(row.files):
            place_image(sheet, pen, file, (EDGE + place * (SIDE + GAP), top + LABEL), (SIDE, SIDE))
    return sheet
