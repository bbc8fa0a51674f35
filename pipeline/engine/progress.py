"""Progress of a stage: the interface, without any display, and a silent implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """Progress of one task."""

    def advance(self, steps: int = 1, /, **figures: float) -> None:
        """Advance by `steps`; `figures` are shown beside the bar."""


class Progress(Protocol):
    """Receives the progress of a build."""

    def say(self, text: str, /) -> None:
        """Print a line that stays."""

    def bar(self, name: str, total: int, done: int = 0, /) -> AbstractContextManager[Bar]:
        """A bar of `total` steps, `done` of which are complete."""

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        """Print figures that stay, such as those of an epoch."""


class _SilentBar:
    def advance(self, steps: int = 1, /, **figures: float) -> None:
        pass


class Silent:
    """Progress without a display."""

    def say(self, text: str, /) -> None:
        pass

    @contextmanager
    def bar(self, _name: str, _total: int, _done: int = 0, /) -> Iterator[Bar]:
        yield _SilentBar()

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        pass
