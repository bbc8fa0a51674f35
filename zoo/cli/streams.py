"""Standard output and error, which may have another encoding than UTF-8, be closed or full, or have no reader."""

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
    """Keep output from failing on characters it can't encode, or on a closed stream."""
    for number in (0, 1, 2):  # in this order: the system assigns the lowest free number
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")  # characters it can't encode, and names that are not text


def silence(stream: TextIO | None) -> None:
    """Discard the rest of a stream's buffer: Python would try to write it again at exit, and complain."""
    if stream:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_unread(stream: TextIO | None) -> bool:
    """Whether a stream is a pipe without a reader. True where the system can't tell."""
    if stream is None or not hasattr(select, "poll"):
        return stream is not None
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


@contextmanager
def ending_unread() -> Iterator[None]:
    """Exit with `UNHEARD` and no message if the output has no reader any more."""
    try:
        yield
    except BrokenPipeError as error:
        unread = [stream for stream in (sys.__stdout__, sys.__stderr__) if _is_unread(stream)]
        for stream in unread:
            silence(stream)
        if unread:
            raise SystemExit(UNHEARD) from None
        raise click.ClickException(f"a connection was cut: {error.strerror}. Run the command again.") from None


def refuses(stream: TextIO | None) -> str:
    """Why a stream can't be written at all; empty if it can."""
    try:
        if stream:
            os.write(stream.fileno(), b"")
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
