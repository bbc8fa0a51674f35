"""Which files of a data set are used, and why others are not; reported before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["pattern", "suffix", "hidden", "loop", "other", "line", "keep", "singleton"]
SplitName = Literal["train", "gate", "query", "gallery"]
WORDS: Mapping[Reason, tuple[str, str]] = {
    "pattern": ("image does not match the pattern", "images do not match the pattern"),
    "suffix": ("picture has an unsupported format", "pictures have an unsupported format"),
    "hidden": ("file or folder is hidden", "files or folders are hidden"),
    "loop": ("link leads back to a folder that holds it", "links lead back to a folder that holds them"),
    "other": ("file is not an image", "files are not images"),
    "line": ("line of the list does not match `line`", "lines of the list do not match `line`"),
    "keep": ("image is left to another split by `keep`", "images are left to another split by `keep`"),
    "singleton": ("image is the only one of its identity", "images are the only ones of their identities"),
}
"""In the order of the report."""


@dataclass(frozen=True)
class LeftOut:
    """Files, or lines of a list, that a split does not use, with the first one as an example."""

    reason: Reason
    count: int
    example: str


@dataclass
class Tally:
    """Counts unused files and lines."""

    _found: dict[Reason, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: Reason, example: str) -> None:
        """Count one."""
        count, first = self._found.get(reason, (0, example))
        self._found[reason] = count + 1, min(first, example)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Counts by reason."""
        return tuple(LeftOut(reason, *self._found[reason]) for reason in WORDS if reason in self._found)


@dataclass(frozen=True)
class SplitAccount:
    """Contents of a split.

    Attributes:
        cameras: None if the data set has no cameras.
        copies: gallery images that copy a query of their identity, under another name or camera; they do not count as
            its answers.
        unanswerable: queries without a correct answer, which do not count.
    """

    images: int
    identities: int
    cameras: int | None
    not_used: tuple[LeftOut, ...]
    copies: int = 0
    unanswerable: int = 0


def _counted(count: int, word: str, plural: str) -> str:
    return f"{count} {word if count == 1 else plural}"


def _parts(account: SplitAccount, origin: str) -> Iterator[str]:
    parts = [
        _counted(account.images, "image", "images"),
        _counted(account.identities, "identity", "identities"),
        "no cameras" if account.cameras is None else _counted(account.cameras, "camera", "cameras"),
    ]
    yield ", ".join(parts) + origin
    if account.copies:
        one = ("is a copy of a query and does not count", "are copies of a query and do not count")
        yield _counted(account.copies, *one)
    if account.unanswerable:
        yield _counted(account.unanswerable, "has no correct answer", "have no correct answer") + " and do not count"
    if account.not_used:
        left = (f"{_counted(one.count, *WORDS[one.reason])} ({one.example})" for one in account.not_used)
        yield f"not used: {', '.join(left)}"


def account_lines(accounts: Mapping[SplitName, SplitAccount]) -> list[str]:
    """One line per split."""
    held_out: Mapping[SplitName, str] = {"gate": ", held out of train"}
    return [f"{name}: {'; '.join(_parts(account, held_out.get(name, '')))}" for name, account in accounts.items()]
