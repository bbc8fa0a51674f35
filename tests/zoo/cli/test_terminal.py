"""Differences between a terminal and a pipe: bars and colours."""

import os
import pty
import re
import subprocess
import sys
import termios
from threading import Thread

import pytest
from rich.cells import cell_len

ANSI = "\x1b["
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38;[0-9;]+)(?:;[0-9;]*)?m")


def shown(arguments, environment, width=80):
    """Output of a command to a terminal: both streams, since there is one screen."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    screen = []

    def read() -> None:
        try:
            while content := os.read(ours, 65536):
                screen.append(content)
        except OSError:  # the other end is closed
            pass

    reader = Thread(target=read)
    reader.start()
    subprocess.run(
        [sys.executable, "-m", "zoo", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, timeout=100, check=False,
    )  # fmt: skip
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    return b"".join(screen).decode()


def piped(arguments, environment):
    command = [sys.executable, "-m", "zoo", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


def test_a_bar_and_colours_in_a_terminal(words, environment):
    text = shown(words("embed IMAGES -o x.npz"), environment)
    assert "embedding" in text
    assert "/8" in text
    assert COLOUR.search(text)
    assert COLOUR.search(shown(["show", "none"], environment))


@pytest.mark.parametrize("more", [pytest.param({}, marks=pytest.mark.slow), {"FORCE_COLOR": "1"}])
def test_no_bar_in_a_pipe_whatever_is_forced(words, environment, more):
    text = piped(words("embed IMAGES -o x.npz"), {**environment, **more})
    assert "embedded: 8 images" in text
    assert "embedding" not in text
    assert ANSI not in text


@pytest.mark.parametrize("line", ["show tiny", "show none", pytest.param("list", marks=pytest.mark.slow)])
def test_no_colour_in_a_pipe(environment, line):
    text = piped(line.split(), environment)
    assert "tiny" in text
    assert ANSI not in text


@pytest.mark.parametrize("line", ["show tiny", "show none", "embed IMAGES -o x.npz"])
def test_no_color_is_honoured(words, environment, line):
    assert not COLOUR.search(shown(words(line), {**environment, "NO_COLOR": "1"}))


def test_an_empty_no_color_is_ignored(environment):
    assert COLOUR.search(shown(["show", "none"], {**environment, "NO_COLOR": ""}))


def test_events_in_a_terminal_have_no_bar(words, environment):
    assert ANSI not in shown(words("embed IMAGES -o x.npz --events"), environment)


@pytest.mark.parametrize("width", [80, pytest.param(100, marks=pytest.mark.slow)])
def test_no_figure_is_lost_in_a_narrow_terminal(environment, width):
    screen = re.sub(r"\x1b\[[0-9;]*m", "", shown(["show", "tiny"], environment, width)).splitlines()
    lines = piped(["show", "tiny"], environment).splitlines()
    figures = re.compile(r"(?<!\S)[\d.]*\d(?!\S)")
    assert {*figures.findall("\n".join(lines))} <= {*figures.findall("\n".join(screen))}
    assert max(cell_len(line) for line in screen if not line.startswith("manifest: ")) <= width
    assert "bold: the best row that ships" in screen
    assert "bold: the best row that ships" not in lines


def test_a_pipe_has_whole_tables_and_lines_whatever_is_forced(environment):
    text = piped(["show", "tiny"], {**environment, "FORCE_COLOR": "1", "COLUMNS": "80"})
    (protocol,) = [line for line in text.splitlines() if line.startswith("p50, p90 and p99")]
    assert protocol == protocol.rstrip()
    assert "no re-ranking" in protocol
    (heading,) = [line for line in text.splitlines() if line.endswith("× dense ")]
    assert {"target", "MB", "images/s"} <= {*heading.split()}
    assert ANSI not in text
