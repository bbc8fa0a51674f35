"""Progress of a build: bars in a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.engine.progress import Bar, Silent
from zoo.sanitize import printable, without_secrets

HIDDEN = ("epoch",)


def _told(figures: Mapping[str, float]) -> str:
    def value(name: str, number: float) -> str:
        if name in ("masked", "dead", "left", "waiting"):
            return f"{100 * number:.1f}%"
        return f"{number:.2e}" if name == "lr" else f"{number:.3f}"

    return "  ".join(f"{name} {value(name, number)}" for name, number in figures.items() if name not in HIDDEN)


class _TerminalBar:
    def __init__(self, progress: Progress, name: str, total: int, done: int) -> None:
        self._progress = progress
        self.task = progress.add_task(name, total=total, completed=done, figures="")

    def advance(self, steps: int = 1, /, **figures: float) -> None:
        told = {"figures": _told(figures)} if figures else {}
        self._progress.update(self.task, advance=steps, **told)  # type: ignore[arg-type]


class ConsoleProgress:
    """Reports to a console (see `pipeline.engine.progress.Progress`)."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Progress | None = None

    def say(self, text: str, /) -> None:
        """Print a line that stays."""
        self.console.print(without_secrets(printable(text)), markup=False, highlight=False, soft_wrap=True)

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        """Print a line of figures that stays."""
        self.say(f"  {title}  {_told(figures)}")

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0, /) -> Iterator[Bar]:
        """A bar below the open ones; nothing outside a terminal, even if colours are forced."""
        if not (self.console.is_terminal and self.console.file.isatty()):
            with Silent().bar(name, total, done) as silent:
                yield silent
            return
        outermost = self._live is None
        live = self._live = self._live or self._start()
        bar = _TerminalBar(live, name, total, done)
        try:
            yield bar
        finally:
            live.remove_task(bar.task)
            if outermost:
                live.stop()
                self._live = None

    def _start(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", style="dim"),
        )
        live = Progress(*columns, console=self.console, transient=True)
        live.start()
        return live
