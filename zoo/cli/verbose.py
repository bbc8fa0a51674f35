"""`--verbose`: log lines of the logger `zoo` on standard error."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from zoo import __version__
from zoo.home import Home, user_catalogue
from zoo.sanitize import printable, without_secrets

KEY = "zoo.cli.verbose"
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)
logger = logging.getLogger(__name__)


class _Plain(logging.Formatter):
    """Log lines without credentials and control characters, whoever wrote them."""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(printable(super().format(record)))


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at the time: below a bar of rich, that is above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - a log line that can't be written never ends a command
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line."""


@contextmanager
def _logging() -> Iterator[None]:
    root, handler = logging.getLogger("zoo"), _StandardError()
    handler.setFormatter(_Plain(FORMAT, "%Y-%m-%d %H:%M:%S"))
    before = root.level, root.propagate
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    root.propagate = False  # a library may have given the root logger a handler, too
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        root.propagate = before[1]


def _begin(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing or KEY in context.meta:
        return
    context.meta[KEY] = True
    context.find_root().with_resource(_logging())
    logger.debug("zoo %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    logger.debug("home %s, catalogue %s", Home.find().root, user_catalogue() or "as shipped")


def verbose(command: Command) -> Command:
    """`--verbose`, before or after the name of a command."""
    return click.option(
        "--verbose",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_begin,
        help="Write log lines to standard error.",
    )(command)
