"""`--verbose` writes log lines to standard error, and to nothing else; without it there are none."""

import ast
import io
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.cli.conftest import document, stream
from tests.zoo.registry.samples import put_release
from tests.zoo.registry.test_credentials import Locked, silent_about, with_signature, with_user
from tests.zoo.registry.test_patience import busy
from zoo.cli.progress import ConsoleProgress
from zoo.cli.screen import Screen
from zoo.cli.verbose import _logging
from zoo.registry.places.folder import Folder
from zoo.registry.publish import publish

TOP = Path(__file__).parents[3]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO) (zoo\.[\w.]+): (.+)")
OTHERS = ("huggingface_hub", "name")  # loggers of libraries, which are silenced


def logged(text: str) -> list[str]:
    return [line for line in text.splitlines() if LINE.fullmatch(line)]


def messages(text: str, logger: str) -> list[str]:
    found = filter(None, map(LINE.fullmatch, text.splitlines()))
    return [match[3] for match in found if match[2].startswith(logger)]


@pytest.fixture
def pulling(tmp_path, serve, home):
    """A shop without releases, and a registry's URL for a handler that serves it."""
    registry = Folder(tmp_path / "served")
    publish(put_release(home), registry, None, Silent())
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop")
    shop.catalogue.write_text("{}\n")
    return shop, lambda handler: serve(registry.root, handler)


@pytest.mark.parametrize("words", [["--verbose", "list"], ["list", "--verbose"], ["--verbose", "list", "--verbose"]])
def test_the_option_stands_before_or_after_the_command(shop, words):
    plain, told = shop.zoo("list"), shop.zoo(*words)
    assert told.stdout == plain.stdout
    assert logged(plain.stderr) == []
    lines = logged(told.stderr)
    assert len(lines) == len({*lines}) >= 3
    assert any(str(shop.home) in message for message in messages(told.stderr, "zoo.cli"))
    assert [line for line in told.stderr.splitlines() if line not in lines] == plain.stderr.splitlines()


def test_the_next_command_of_the_process_is_silent_again(shop):
    root = logging.getLogger("zoo")
    before = root.level, root.propagate, [*root.handlers]
    assert logged(shop.zoo("--verbose", "list").stderr)
    assert (root.level, root.propagate, root.handlers) == before
    assert logged(shop.zoo("list").stderr) == []


def test_each_step_is_logged_with_its_key_and_what_changed(shop):
    stands = shop.zoo("--verbose", "build", "--plan", "--json")
    steps = document("build --plan", stands.stdout)["steps"]
    told = messages(stands.stderr, "zoo.engine")
    expected = [f"{one['step']}: key {one['key']}, found in the store" for one in steps]
    assert told[-len(steps) :] == expected  # a build plans several times, the last time all of it
    changed = shop.zoo("--verbose", "build", "--plan", "--set", "distill.epochs=4")
    told = messages(changed.stderr, "zoo.engine")
    assert "distill: changed since the last build: distill.epochs 3 → 4" in told
    assert any(re.fullmatch("distill: key [0-9a-f]{64}, distill.epochs 3 → 4", line) for line in told)


def test_standard_output_holds_the_document_or_the_events_alone(pulling):
    shop, served = pulling
    url = served(busy(503, 1))
    pulled = shop.zoo("--verbose", "pull", "tiny", "--registry", url, "--json")
    assert pulled.exit_code == 0, pulled.output
    document("pull", pulled.stdout)
    assert logged(pulled.stderr)
    events = shop.zoo("pull", "tiny", "--registry", url, "--events", "--verbose")
    stream(events.stdout)
    assert logged(events.stderr)


def test_requests_retries_and_the_cache_are_logged(pulling):
    shop, served = pulling
    url = served(busy(503, 1))
    told = messages(shop.zoo("--verbose", "pull", "tiny", "--registry", url, "--all").stderr, "zoo.registry")
    assert f"GET {url}/index.json from byte 0: HTTP 503" in told
    assert f"GET {url}/index.json from byte 0: HTTP 200" in told
    assert any(re.fullmatch(r"attempt 1 of 8 failed \(HTTP 503.*\), next in \d+\.\d s", line) for line in told)
    assert f"index of {url}: revision 1, 1 names" in told
    again = messages(shop.zoo("--verbose", "pull", "tiny", "--registry", url, "--all").stderr, "zoo.registry")
    assert len([line for line in again if line.startswith("GET")]) == 1, "the index alone"


@pytest.mark.parametrize("way", [with_user, with_signature])
def test_log_lines_do_not_tell_the_secret_of_a_registry(pulling, way):
    shop, served = pulling
    url = served(Locked)
    for words in (["pull", "tiny"], ["pull", "unknown"]):
        told = shop.zoo("--verbose", *words, "--registry", way(url))
        assert messages(told.stderr, "zoo.registry"), told.stderr
        silent_about(told.output, f"GET {url}/index.json")


def test_a_log_line_loses_credentials_and_control_characters_whoever_wrote_it(capsys):
    with _logging():
        logging.getLogger("zoo.someone").info("from https://me:secret@host/x?sig=hidden-token \x1b[2J")
    told = capsys.readouterr().err
    assert "https://…@host/x?…" in told
    assert "secret" not in told
    assert "hidden-token" not in told
    assert "\x1b" not in told


def test_the_runtime_that_is_chosen_is_logged_with_its_provider(shop, words):
    told = shop.zoo("--verbose", *words("embed IMAGES -m tiny -t onnxruntime-cpu -o x.npz")).stderr
    assert "tiny@1.0.0: runs as onnxruntime-cpu in int8" in messages(told, "zoo.use")
    (provider,) = {line for line in messages(told, "zoo.targets") if "threads" in line}
    assert "asked for CPUExecutionProvider, got ['CPUExecutionProvider']" in provider


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_beside_a_bar_stands_on_a_line_of_its_own(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    progress = ConsoleProgress(Screen(stderr=True, force_terminal=True, width=200))
    with _logging(), progress.bar("training", 10) as bar:
        bar.advance(3)
        logging.getLogger("zoo.engine").info("in between")
        bar.advance(3)
    assert sys.stderr is screen
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")
    assert messages(plain, "zoo.engine") == ["in between"]
    assert "training" in plain


def test_a_line_that_cannot_be_written_does_not_end_the_command(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    with _logging():
        monkeypatch.setattr("sys.stderr", Full())
        logging.getLogger("zoo.engine").info("lost")
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_a_program_that_imports_zoo_sees_no_line_unless_it_asks():
    code = (
        "import logging, zoo\n"
        "log = logging.getLogger('zoo.engine')\n"
        "log.error('not asked for')\n"
        "logging.basicConfig(format='%(name)s %(message)s')\n"
        "logging.getLogger('zoo').setLevel(logging.DEBUG)\n"
        "log.debug('asked for')\n"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert told.stderr == "zoo.engine asked for\n"


def test_all_loggers_are_below_zoo():
    found = 0
    for room in ("zoo", "pipeline", "calibration", "targets"):
        for path in (TOP / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger":
                    (name,) = map(ast.unparse, node.args)
                    below = name.startswith(("'zoo.", "'zoo'")) or (name == "__name__" and room == "zoo")
                    assert below or name.strip("'") in OTHERS, f"{path}: {name}"
                    found += below
    assert found > 20


def test_every_command_has_the_option():
    from zoo.cli import main

    for name, command in main.commands.items():
        (option,) = [one for one in command.params if "--verbose" in one.opts]
        assert option.help == "Write log lines to standard error.", name
