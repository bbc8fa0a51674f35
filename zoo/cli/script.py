"""Output for scripts on standard output: one document, or events that end in it. docs/scripts.md is the contract."""

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
    """`--json`: the result, or nothing if there is none."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def result(self, content: Any) -> None:
        """The result of the command."""
        self._out.write(as_text(content, indent=2) + "\n")
        self._out.flush()

    def error(self, message: str, exit_code: int) -> None:
        """Nothing: standard error and the exit code report it."""


def script() -> Document | Events | None:
    """The output for scripts that the command line requested, if any."""
    context = click.get_current_context(silent=True)
    return context.meta.get(KEY) if context else None


def begin(context: click.Context, form: type[Document] | type[Events]) -> None:
    """Write for a script from now on."""
    context.meta[KEY] = form(sys.stdout)


def reserve(context: click.Context) -> None:
    """Reserve standard output for the script: output of libraries goes to standard error."""
    context.find_root().with_resource(redirect_stdout(sys.stderr))


def print_json(content: Any) -> None:
    """Print the result for a script."""
    (script() or Document(sys.stdout)).result(content)


def reporter() -> Progress:
    """Where a command reports its progress: events if requested, otherwise bars and lines."""
    from zoo.cli.events import Events

    told = script()
    if isinstance(told, Events):
        return told
    from zoo.cli.progress import ConsoleProgress
    from zoo.cli.screen import Screen

    return ConsoleProgress(Screen(stderr=True, emoji=False))
