"""Tables for a terminal. One that is too wide is printed in parts, so that no figure is lost or cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from zoo.sanitize import one_line

# Columns that name the rows if a table begins with them.
NAMES = frozenset({"model", "target", "network", "precision", "ships", "site", "path", "stage", "figure", "rank"})
GAP = 3  # cells between two columns; the edges of a table take one less
FOLDED = 12  # cells: text columns are not made narrower than this for the sake of others
BEST = "bold: the best row that ships"


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)


@dataclass(frozen=True)
class Shown:
    """A column of a table in a terminal."""

    heading: str
    cells: Sequence[str]
    text: bool
    names: bool
    """whether it may name the row"""
    bold: Sequence[int]
    """rows whose cell is bold"""

    @property
    def full(self) -> int:
        """Width at which nothing wraps, in cells."""
        return max(self.least, cell_len(self.heading))

    @property
    def least(self) -> int:
        """Width at which only the heading wraps, at spaces."""
        return max(_widest(self.heading.split()), _widest(line for cell in self.cells for line in cell.split("\n")))

    @property
    def folded(self) -> int:
        """Width at which text wraps, too, if other columns need the room."""
        return max(_widest(self.heading.split()), min(self.least, FOLDED)) if self.text else self.least


_Part = list[tuple[Shown, int]]  # adjacent columns with their widths


def _taken(widths: Iterable[int]) -> int:
    """Cells that columns of these widths take in a line, with the gap before the next one."""
    return sum(width + GAP for width in widths)


def _names(columns: Sequence[Shown], room: int) -> _Part:
    """The columns that each part repeats: they leave room for any other, and wrap rather than take most of it."""
    names = list(takewhile(lambda one: one.names, columns)) or list(columns[:1])

    def rest() -> int:
        """Cells that the widest other column takes."""
        return max((_taken([one.folded]) for one in columns[len(names) :]), default=0)

    while names and _taken(one.folded for one in names) + rest() > room:
        names.pop()
    widths = [one.least for one in names]
    most = min(room - rest(), max(_taken(one.folded for one in names), 2 * room // 3))
    while _taken(widths) > most:
        wide = [i for i, one in enumerate(names) if widths[i] > one.folded]
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return list(zip(names, widths, strict=True))


def _widened(part: _Part, room: int) -> _Part:
    """Gives the remaining room to columns that wrap, from the left."""
    spare = room - _taken(width for _, width in part)
    result = []
    for one, width in part:
        more = min(spare, one.full - width)
        spare -= more
        result.append((one, width + more))
    return result


def _parts(columns: Sequence[Shown], width: int) -> list[_Part]:
    """Splits columns into parts that fit a width, in order; one part if possible."""
    room = width + 1  # see GAP
    whole = [(one, one.least) for one in columns]
    if _taken(least for _, least in whole) <= room:
        return [_widened(whole, room)]
    names = _names(columns, room)
    free = room - _taken(width for _, width in names)
    parts, left = list[_Part](), 0
    for one in columns[len(names) :]:
        least = max(min(one.least, free - GAP), 1)
        if not parts or _taken([least]) > left:
            parts.append([*names])
            left = free
        parts[-1].append((one, least))
        left -= _taken([least])
    return [_widened(part, room) for part in parts or [names]]


def _drawn(part: _Part) -> Table:
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for one, width in part:
        result.add_column(Text(one.heading), justify="left" if one.text else "right", width=width, overflow="fold")
    columns = [
        [Text(cell, "bold green" if row in one.bold else "") for row, cell in enumerate(one.cells)] for one, _ in part
    ]
    for cells in zip(*columns, strict=True):
        result.add_row(*cells)
    return result


@dataclass(frozen=True)
class Lines:
    """Lines of text that wrap at spaces, without an ellipsis."""

    lines: Sequence[str]
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in map(one_line, self.lines):
            for piece in Text(line, self.style).wrap(console, options.max_width):  # as text: not markup
                piece.rstrip()
                yield piece


@dataclass(frozen=True)
class Parts:
    """A table as wide as the terminal, in parts below each other if it is wider.

    Each part repeats the columns that name the row, so that no figure is lost or cut.
    """

    columns: Sequence[Shown]
    caption: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, part in enumerate(_parts(self.columns, options.max_width)):
            lines = console.render_lines(_drawn(part), options, pad=False)
            for line in lines[min(number, 1) :]:  # the first line is empty, like the last
                yield from line
                yield Segment.line()
        bold = console.color_system is not None and any(one.bold for one in self.columns)
        yield Lines([*self.caption, *[BEST] * bold], "dim")
