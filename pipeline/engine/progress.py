"""What a stage tells while it runs. The face decides how it looks; here is only the form, and silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One thing that advances."""

    def advance(self, steps: int = 1, /, **figures: float) -> None:
        """Go on by `steps`; `figures` are shown beside the bar."""


class Progress(Protocol):
    """Where a build reports to."""

    def say(self, text: str, /) -> None:
        """One line that stays."""

    def bar(self, name: str, total: int, done: int = 0, /) -> AbstractContextManager[Bar]:
        """A bar of `total` steps, of which `done` are behind us."""

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        """Figures that stay, such as those of one epoch."""


class _SilentBar:
    def advance(self, steps: int = 1, /, **figures: float) -> None:
        pass


class Silent:
    """Progress that nobody watches."""

    def say(self, text: str, /) -> None:
        pass

    @contextmanager
    def bar(self, _name: str, _total: int, _done: int = 0, /) -> Iterator[Bar]:
        yield _SilentBar()

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        pass
