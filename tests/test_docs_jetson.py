"""docs/jetson.md is correct: its commands, names, settings, and every line that it shows."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from targets.contract import make_target
from targets.nvidia.cuda import OLDER
from targets.nvidia.jetpacks import STACKS, SYSTEM
from targets.nvidia.ranges import VersionRange
from targets.nvidia.tensorrt import GENERATIONS, TensorRt
from zoo.catalogue import load_catalogue
from zoo.cli import main

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs" / "jetson.md").read_text()
PRINTERS = (  # modules that print what the page shows
    "pipeline/planning/deployment.py",
    "pipeline/stages/*.py",
    "targets/**/*.py",
    "zoo/cli/*.py",
    "zoo/tables/*.py",
)


LETTERS = 6  # fewest letters of a meaningful string


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands():
    """Command lines of the page, in blocks and in sentences."""
    inline = re.findall(r"`(zoo [^`]+)`", " ".join(PAGE.split()))
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()] + inline


def strings(path):
    """Strings in a source file; holes of f-strings are NUL characters."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in node.values}
    for node in formatted:
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    for node in nodes:  # type: ignore[assignment]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


@cache
def templates():
    """Patterns of what the code can print: lines, and their first sentences, with anything in the holes."""
    texts = (text for pattern in PRINTERS for path in TOP.glob(pattern) for text in strings(path))
    lines = {line for text in texts for line in text.split("\n")}
    firsts = {line[: end.start() + 1] for line in lines for end in re.finditer(r"\. ", line)}
    told = {line for line in lines | firsts if len(re.findall("[A-Za-z]", line)) >= LETTERS}
    return [re.compile(".*".join(map(re.escape, line.split("\0")))) for line in told]


def can_be_printed(line):
    return any(template.fullmatch(line) for template in templates())


@pytest.fixture
def catalogue(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_CATALOGUE", raising=False)
    (tmp_path / "zoo.yaml").write_text("\n".join(blocks("yaml")))
    return load_catalogue()


def test_every_zoo_command_exists(catalogue):
    found = [shlex.split(command)[1:] for command in commands() if command.startswith("zoo ")]
    assert {words[0] for words in found} >= {"build", "receive", "show"}
    for words in found:
        context = main.commands[words[0]].make_context(words[0], words[1:], **main.context_settings)
        for target in context.params.get("targets", ()):
            catalogue.target(target)
        if words[0] in ("build", "show"):
            catalogue.recipe(context.params["name"])


def test_what_is_installed_is_what_errors_name_and_extras_ask_for():
    page = " ".join(PAGE.split())
    assert OLDER.removeprefix("Run: ") in page
    assert f"$ {SYSTEM} " in PAGE
    extras = (TOP / "pyproject.toml").read_text()
    known = {"numpy", *(stack.bindings for stack in STACKS), *(stack.wheel for stack in STACKS if stack.has_wheel)}
    for command in (command for command in commands() if "/pip install" in command):
        words = [word for word in shlex.split(command)[2:] if word not in known]
        assert all(f'"{word}"' in extras for word in words), command


def test_the_page_is_for_what_its_first_target_is_for(catalogue):
    (stack,) = (stack for stack in STACKS if stack.target == catalogue.target("jetson"))
    head = " ".join(PAGE[: PAGE.index("It builds")].split())
    assert f"JetPack {stack.jetpack} (TensorRT 10.3, Python {stack.python}, CUDA {stack.cuda})" in head
    assert "10.3.0" in VersionRange.parse(stack.tensorrt)
    assert catalogue.targets["orin"].options == {"versions": stack.tensorrt}
    assert "`jetson` is an alias of `jetson-orin-nano`" in PAGE
    assert catalogue.target("jetson") == "jetson-orin-nano"


def test_the_target_of_ones_own_is_valid(catalogue):
    assert isinstance(make_target(catalogue.targets["orin"]), TensorRt)
    assert catalogue.targets["orin"].python.startswith("~/")


def test_every_line_that_is_shown_can_be_printed(catalogue):
    lines = [line for block in blocks("text") for line in block.splitlines()]
    assert len(lines) > 40
    for line in lines:
        release, _, about = line.partition(": ")
        if found := re.fullmatch(r"\S+@\S+ for \S+: (.*) on (CPU|Orin \(SM 87\))", line):
            assert found[1] in ("TensorRT 10.3.0", "ONNX Runtime 1.32.0")
        elif release in {f"{name}@{recipe.version}" for name, recipe in catalogue.models.items()}:
            assert about == catalogue.models[release.partition("@")[0]].description
        else:
            assert can_be_printed(line), line
    assert not can_be_printed("resnet10t-toycars waits for its board.")


def test_every_error_that_is_explained_can_be_raised():
    errors = re.findall(r"^\| `(.*?)` \|", PAGE[PAGE.index("## 8. ") :], re.MULTILINE)
    assert len(errors) > 10
    for error in errors:
        assert can_be_printed(error), error


def test_numbers_of_gpu_generations_are_those_that_are_built_for():
    (told,) = re.findall(r"SM ([\d, ]+) and (\d+) together", " ".join(PAGE.split()))
    assert [*map(int, told[0].split(", ")), int(told[1])] == list(GENERATIONS[1:])


def test_the_snippet_imports_what_is_there():
    (snippet,) = blocks("python")
    wanted = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.ImportFrom)]
    for node in wanted:
        module = __import__(node.module, fromlist=["*"])
        assert all(hasattr(module, alias.name) for alias in node.names)
    assert len(wanted) == 3
