"""Pieces of GitHub's Markdown, which the Hugging Face Hub takes, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zoo.sanitize import one_line

Mark = Callable[[int, int, str], str]


def escaped(text: str) -> str:
    """Text on one line, without the end of a cell and without tags."""
    return one_line(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;"))


def _plain(_row: int, _column: int, cell: str) -> str:
    return cell


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[bool] | int = 1, mark: Mark = _plain
) -> str:
    """A table.

    Args:
        rows: cells as text, which is escaped.
        words: whether each column is left-aligned, as words are; a number: only that many columns, the first.
        mark: adds Markdown to an escaped cell, given its row and column.
    """
    left = [index < words for index in range(len(headings))] if isinstance(words, int) else words
    lines = [[*headings], [":--" if one else "--:" for one in left]]
    for row, cells in enumerate(rows):
        lines.append([mark(row, column, escaped(cell)) for column, cell in enumerate(cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)
