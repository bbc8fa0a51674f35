"""Standard output and error as they may be: of another encoding than UTF-8, closed, full, or with nobody who reads."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

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


def silence(stream: TextIO | None) -> None:
    """Let what a stream still holds go nowhere: Python would try again at the end, and complain."""
    if stream:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_unread(stream: TextIO | None) -> bool:
    """Whether a stream is a pipe that nobody reads any more. Where the system can't tell, it is."""
    if stream is None or not hasattr(select, "poll"):
        return stream is not None
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextmanager
def ending_unread() -> Iterator[None]:
    """End with `UNHEARD`, and without a word, where nobody reads what is printed any more."""
    try:
        yield
    except BrokenPipeError as error:
        unread = [stream for stream in (sys.__stdout__, sys.__stderr__) if _is_unread(stream)]
        for stream in unread:
            silence(stream)
        if unread:
            raise SystemExit(UNHEARD) from None
        raise click.ClickException(f"a connection was cut: {error.strerror}.") from None


def refuses(stream: TextIO | None) -> str:
    """Why a stream takes nothing at all; empty if it does."""
    try:
        if stream:
            os.write(stream.fileno(), b"")
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
