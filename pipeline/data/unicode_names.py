"""Names on disk, for names in another Unicode form: macOS decomposes letters (NFD)."""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize


def same_form(text: str) -> str:
    """Text normalised so that equal names are equal (NFC)."""
    return text if text.isascii() else normalize("NFC", text)


class NamesOnDisk:
    """Finds paths below a folder, in any Unicode form."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._listed: dict[str, dict[str, str]] = {}

    def exists(self, path: str) -> bool:
        """Whether exactly this path exists."""
        return os.path.exists(f"{self._root}/{path}")  # noqa: PTH110 - fifty thousand times

    def _names(self, inside: str) -> dict[str, str]:
        if inside not in self._listed:
            try:
                names = os.listdir(f"{self._root}/{inside}")  # noqa: PTH208 - strings, as above
            except OSError:
                names = []
            self._listed[inside] = {same_form(name): name for name in names}
        return self._listed[inside]

    def find(self, path: str) -> str:
        """The path as it is on disk; unchanged if it does not exist."""
        if path.isascii() or self.exists(path):
            return path
        inside = ""
        for part in path.split("/"):
            inside += f"{self._names(inside).get(same_form(part), part)}/"
        return inside[:-1]
