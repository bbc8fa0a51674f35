"""What a script reads on standard output: one document, or events that end in it. docs/scripts.md is the promise."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

import click

from zoo.cli.json_text import as_text

if TYPE_CHECKING:
    from pipeline.engine.progress import Progress
    from zoo.cli.events import Events

KEY = "zoo.cli.script"


class Document:
    """`--json`: the result, or nothing where there is none."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def result(self, content: Any) -> None:
        """What came of the command."""
        self._out.write(as_text(content, indent=2) + "\n")
        self._out.flush()

    def error(self, message: str, exit_code: int) -> None:
        """Standard error and the exit code tell it."""


def script() -> Document | Events | None:
    """What was asked for on the command line, if anything."""
    context = click.get_current_context(silent=True)
    return context.meta.get(KEY) if context else None


def begin(context: click.Context, form: type[Document] | type[Events]) -> None:
    """Speak to a script from now on."""
    context.meta[KEY] = form(sys.stdout)


def reserve(context: click.Context) -> None:
    """Leave standard output to the script: what libraries print there goes to standard error."""
    context.find_root().with_resource(redirect_stdout(sys.stderr))


def print_json(content: Any) -> None:
    """The result, for a script."""
    (script() or Document(sys.stdout)).result(content)


def reporter() -> Progress:
    """What a command reports its progress to: events if they were asked for, else bars and lines."""
    from zoo.cli.events import Events

    told = script()
    if isinstance(told, Events):
        return told
    from zoo.cli.progress import ConsoleProgress
    from zoo.cli.screen import Screen

    return ConsoleProgress(Screen(stderr=True, emoji=False))
