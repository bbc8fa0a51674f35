"""Standard output and error as they may be: of another encoding than UTF-8, closed, full, or with nobody who reads."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import NoReturn, TextIO

from rich.console import Console

from zoo.cli.exit_codes import UNHEARD


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def prepare() -> None:
    """Let nothing that is printed fail for its letters, or for a stream that is closed."""
    for number in (0, 1, 2):  # in this order: the system gives the lowest number that is free
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")  # what it has no letter for, a name that is no text


def trouble(stream: TextIO | None) -> OSError | None:
    """Why what was printed does not come through; what is left of it is thrown away."""
    try:
        if stream:
            stream.flush()
    except OSError as error:
        silence(stream)
        return error
    except ValueError:  # closed by who called us
        pass
    return None


def silence(stream: TextIO | None) -> None:
    """Let what a stream still holds go nowhere: Python would try again at the end, and complain."""
    if stream:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def unheard() -> bool:
    """Whether nobody reads standard output, or error, any more."""
    broken = [isinstance(trouble(stream), BrokenPipeError) for stream in (sys.__stdout__, sys.__stderr__)]  # both
    return any(broken)


class Screen(Console):
    """A console that ends the command as any other output does when nobody reads any more."""

    def on_broken_pipe(self) -> NoReturn:
        """See rich."""
        self.quiet = True
        silence(self.file)  # type: ignore[arg-type]
        raise SystemExit(UNHEARD)
