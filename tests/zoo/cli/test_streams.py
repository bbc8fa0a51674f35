"""Standard output in another encoding, closed, full, or without a reader: no traceback, and a known exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine.store import Store
from tests.zoo.cli.conftest import document
from zoo.cli.progress import ConsoleProgress
from zoo.cli.screen import Screen


def run(arguments, environment, shell="{}", **more):
    """A command inside a line of the shell."""
    command = " ".join([sys.executable, "-m", "zoo", *arguments])
    return subprocess.run(
        ["bash", "-c", shell.format(command)],
        env={**os.environ, **environment, **more}, capture_output=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["ascii", "C"],
)
def test_characters_outside_the_encoding_are_replaced(environment, locale):
    shown = run(["show", "tiny"], environment, **locale)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"tiny@1.0.0: a network that learns little" in shown.stdout
    assert "×".encode() not in shown.stdout


def test_json_is_the_same_in_any_encoding(environment):
    texts = [run(["list", "--json"], environment, PYTHONIOENCODING=one).stdout for one in ("ascii", "utf-8")]
    assert texts[0] == texts[1]
    document("list", texts[0].decode("ascii"))


def test_names_that_are_not_text_are_printed(environment, tmp_path):
    """A file's name may be any bytes; Python represents those that are not UTF-8 as lone surrogates."""
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102
    done = run(["embed", f"{tmp_path}/$'caf\\xe9'", "-o", "x.npz"], environment)
    assert done.returncode == 1
    assert b"Error: " in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"caf?" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "show tiny", "--help", "show none 2>&1",
        *(pytest.param(line, marks=pytest.mark.slow) for line in ("list --json", "show --help", "build --plan")),
    ],
)  # fmt: skip
def test_output_without_a_reader_ends_silently_with_141(environment, line):
    done = run(line.split(), environment, "{} | sleep 0; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_stops_early_has_complete_lines(environment):
    done = run(["show", "tiny", "--json"], environment, "{} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == (b"{\n", b"")
    assert done.returncode in (0, 141)  # 0 if all of it was written before the reader left


@pytest.mark.parametrize(
    ("line", "shell", "code"),
    [
        ("show tiny", "{} >&-", 0), ("list --json", "{} >&- 2>&-", 0), ("show none", "{} <&- >&- 2>&-", 1),
    ],
)  # fmt: skip
def test_output_to_closed_streams_is_discarded(environment, shell, line, code):
    done = run(line.split(), environment, shell)
    assert done.returncode == code
    assert b"Traceback" not in done.stdout + done.stderr


def test_output_to_a_closed_stream_does_not_reach_a_file(words, environment):
    """The system assigns a free number to the next file that is opened."""
    done = run(words("embed IMAGES -o x.npz --json"), environment, "{} >&- 2>&-")
    assert done.returncode == 0
    assert Path("x.npz").read_bytes()[:2] == b"PK"


def test_a_read_only_output_is_reported(environment):
    done = run(["list"], environment, "{} 1</dev/null")
    assert done.returncode == 1
    assert done.stderr == b"Error: can't write to standard output: Bad file descriptor. Redirect it elsewhere.\n"


def test_work_ends_with_its_reader_without_blaming_the_disk(tmp_path):
    """Progress without a reader is not an error of the store."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as pipe:
        progress = ConsoleProgress(Screen(file=pipe))
        with pytest.raises(SystemExit) as caught, Store(tmp_path).produce("teacher", "k", {}):
            progress.say("epoch 1")
        assert caught.value.code == 141
