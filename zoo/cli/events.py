"""`--events`: progress as newline-delimited JSON. `zoo.cli.shapes.events` defines the form of each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import Lock
from time import monotonic
from typing import Any, TextIO

from pipeline.engine.progress import Bar
from zoo.cli.json_text import as_text
from zoo.cli.streams import silence
from zoo.sanitize import without_secrets

PAUSE_SECONDS = 0.2  # between two events of one bar


class _EventBar:
    def __init__(self, events: Events, name: str, total: int, done: int) -> None:
        self._events, self._name, self._total, self._done = events, name, total, done
        self._figures: Mapping[str, float] = {}
        self._told_at, self._told = -PAUSE_SECONDS, True

    @property
    def about(self) -> dict[str, str | int]:
        return {"name": self._name, "total": self._total, "done": self._done}

    def advance(self, steps: int = 1, /, **figures: float) -> None:
        self._done += steps
        self._figures, self._told = figures or self._figures, False
        if monotonic() - self._told_at >= PAUSE_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Write the latest step, unless it was written already."""
        if not self._told:
            self._told_at, self._told = monotonic(), True
            self._events.tell("advanced", **self.about, figures=self._figures)


class Events:
    """Reports to a script (see `pipeline.engine.progress.Progress`), ending in a result or an error."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._turn = out, Lock()

    def tell(self, event: str, **about: Any) -> None:
        """Write one line and flush. Without a reader, the command continues silently."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        with self._turn:
            try:
                self._out.write(as_text({"event": event, "time": now, **about}) + "\n")
                self._out.flush()
            except BrokenPipeError:
                silence(self._out)

    def say(self, text: str, /) -> None:
        """Write a line of text."""
        self.tell("said", text=without_secrets(text.strip()))

    def figures(self, title: str, figures: Mapping[str, float], /) -> None:
        """Write final figures."""
        self.tell("figures", title=title, figures=figures)

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0, /) -> Iterator[Bar]:
        """A task with progress: its begin, some of its steps and always the last one, and its end."""
        bar = _EventBar(self, name, total, done)
        self.tell("began", **bar.about)
        try:
            yield bar
        finally:
            bar.tell()
            self.tell("ended", **bar.about)

    def result(self, content: Any) -> None:
        """The last line after success: what `--json` prints."""
        self.tell("result", result=content)

    def error(self, message: str, exit_code: int) -> None:
        """The last line after a failure."""
        self.tell("error", message=without_secrets(message), exit_code=exit_code)
