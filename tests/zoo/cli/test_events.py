"""`--events`: each line has the documented form, and the last one is the result or an error."""

import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.zoo.cli.conftest import document, stream
from zoo.cli import main
from zoo.cli.events import Events

LONG = {
    *(
        "add",
        "bench",
        "build",
        "check",
        "compile",
        "data",
        "embed",
        "export",
        "index",
        "publish",
        "pull",
        "query",
        "site",
    ),
    "verify",
}


def test_long_commands_have_events():
    assert {n for n, c in main.commands.items() if any("--events" in one.opts for one in c.params)} == LONG


def test_an_embedding_is_followed_to_its_result(shop, words):
    result = shop.zoo(*words("embed IMAGES -o x.npz --events"))
    assert (result.exit_code, result.stderr) == (0, "")
    lines = stream(result.stdout)
    assert lines[0] | {"time": ""} == {"event": "began", "time": "", "name": "embedding", "total": 8, "done": 0}
    steps = [line["done"] for line in lines if line["event"] == "advanced"]
    assert steps == sorted(steps)
    assert steps[-1] == 8
    assert [line["event"] for line in lines[-2:]] == ["ended", "result"]
    same = shop.zoo(*words("embed IMAGES -o x.npz --json"))
    assert lines[-1]["result"] == document("embed", same.stdout)


@pytest.mark.parametrize(
    "line", ["build --plan", "build", "publish tiny", "query IMAGE -g IMAGES -m tiny", "site OUT --local"]
)
def test_the_last_line_is_what_json_prints(shop, words, line):
    result = shop.zoo(*words(f"{line} --events"))
    assert result.exit_code == 0, result.output
    document("build --plan" if "--plan" in line else line.split()[0], json.dumps(stream(result.stdout)[-1]["result"]))


def test_a_bundle_is_followed(shop, quick):
    said = [line.get("text") for line in stream(shop.zoo("compile", str(quick), "-o", "x", "--events").stdout)]
    assert any(text and text.startswith("compiling student") for text in said)


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("embed none -o x.npz", 1, "can't read the folder none"),
        ("build none", 1, "no model 'none'"),
        ("compile none -o no/x", 1, "No such file or directory"),
        ("build --host ssh://a", 2, "--host is for one target"),
        ("build --gpus none", 2, "'none' is not a valid integer"),
        ("embed IMAGES", 2, "Missing option '--out'"),
        ("pull tiny --nothing", 2, "--nothing"),
        ("embed IMAGES -o x.npz --json", 2, "leave out --json"),
        ("nothing", 2, "No such command"),
    ],
)
def test_an_error_is_the_last_line_and_on_standard_error(shop, words, line, code, told):
    result = shop.zoo(*words(f"{line} --events"))
    assert result.exit_code == code
    last = stream(result.stdout)[-1]
    assert (last["event"], last["exit_code"]) == ("error", code)
    assert told in last["message"]
    assert told in result.stderr


def test_help_is_not_an_event(shop):
    assert shop.zoo("embed", "--events", "--help").stdout.startswith("Usage: ")


def test_a_bug_is_reported_before_its_traceback(shop, words, monkeypatch):
    monkeypatch.setattr("zoo.use.gallery.find_images", lambda _folder: 1 / 0)
    result = CliRunner().invoke(main, words("embed IMAGES -o x.npz --events"))
    assert isinstance(result.exception, ZeroDivisionError)  # Python prints its traceback
    last = stream(result.stdout)[-1]
    assert (last["event"], last["message"], last["exit_code"]) == ("error", "ZeroDivisionError: division by zero", 1)


def test_ctrl_c_is_the_last_line(shop, words, environment):
    """While it waits for an image that arrives slowly."""
    slow = "import time, zoo.use.embedder; zoo.use.embedder.Embedder.read = lambda *_: time.sleep(60)"
    command = [sys.executable, "-c", f"{slow}; from zoo.cli import main; main()", *words("embed IMAGES -o x --events")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began = process.stdout.readline()  # at once: not buffered
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    last = stream(began + output)[-1]
    assert (last["message"], last["exit_code"]) == ("Interrupted.", 130)
    assert errors == "Interrupted.\n"


@pytest.mark.parametrize(
    ("line", "kept"), [("pull tiny", True), ("publish tiny", True), ("build tiny", True), ("embed IMAGES -o x", False)]
)
def test_only_resumable_commands_say_so(shop, words, monkeypatch, line, kept):
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.home.Home.find", interrupted)
    result = shop.zoo(*words(line))
    assert result.exit_code == 130
    assert result.stderr.startswith("Interrupted.")
    assert ("to continue" in result.stderr) == kept


def test_a_missing_reader_does_not_stop_the_command(shop, words, environment):
    command = [sys.executable, "-m", "zoo", *words("embed IMAGES -o x.npz --events")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(60)) == (b"", 0)
    assert Path("x.npz").exists()


def test_a_bar_writes_five_steps_a_second_and_the_last_one(monkeypatch):
    now = iter(at / 100 for at in range(1000))  # ten milliseconds a step
    monkeypatch.setattr("zoo.cli.events.monotonic", lambda: next(now))
    events = Events(out := StringIO())
    with events.bar("epochs", 110, 10) as bar:
        for _ in range(100):
            bar.advance(1, loss=float("nan"), lr=0.5)
    began, *advanced, ended = map(json.loads, out.getvalue().splitlines())
    assert (began["done"], ended["done"], advanced[-1]["done"]) == (10, 110, 110)
    assert 4 <= len(advanced) <= 8
    assert advanced[0]["figures"] == {"loss": None, "lr": 0.5}


def test_an_interrupted_bar_ends_too():
    events = Events(out := StringIO())
    with pytest.raises(ValueError, match="x"), events.bar("epochs", 3):
        raise ValueError("x")
    assert json.loads(out.getvalue().splitlines()[-1])["event"] == "ended"


def test_of_several_processes_only_the_first_writes(shop, monkeypatch):
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    result = shop.zoo("show", "none", "--events")
    assert (result.exit_code, result.stdout) == (2, "")
    monkeypatch.setenv("RANK", "0")
    assert stream(shop.zoo("show", "none", "--events").stdout)[-1]["exit_code"] == 2
