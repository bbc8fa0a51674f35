"""Parts of GitHub Markdown, which the Hugging Face Hub supports, too."""

from __future__ import annotations

from collections.abc import Sequence


def escaped(text: str) -> str:
    """Text on one line, with table separators and tags escaped."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table of plain cells; the first `text` columns are left-aligned, the others right-aligned."""
    sides = [":--" if index < text else "--:" for index in range(len(headings))]
    lines = [list(headings), sides, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Sequence[str]) -> str:
    """A bullet list."""
    return "\n".join(f"- {line}" for line in lines)
