"""`--json`: every command has it, prints the documented shape, and nothing if it fails."""

from typing import Any

import pytest

from targets.machine.device import this_device
from tests.conftest import Workshop
from tests.zoo.cli.conftest import document
from tests.zoo.records import dense, keep, measurement, pending, release
from zoo.cli import main
from zoo.cli.json_text import as_text
from zoo.cli.shapes.commands import COMMANDS
from zoo.cli.shapes.tables import MeasurementRow
from zoo.tables.comparison import KEYS

# Each command relies on those before it; other commands have their own tests below.
LOOKING = (
    "build", "build --plan", "data squares", "list",
    "show tiny", "compare tiny", "search map>0", "doctor", "verify tiny",
    "export tiny --for onnx --out EXPORTED",
    "samples", "embed IMAGES -o x.npz", "query IMAGE -g x.npz -m tiny --top 2",
    "index x.npz -o x.index", "query IMAGE -i x.index", "publish tiny", "list --registry",
    "search map>0 --registry", "compare tiny --registry", "gc --dry-run", "gc", "site OUT",
    "yank tiny@1.0.0 --reason old", "yank tiny@1.0.0 --undo", "migrate --all", "weights",
)  # fmt: skip
# `serve`: tests/zoo/serve, `add`: tests/zoo/test_add.py, `bench`: tests/zoo/measure, `clean`: tests/zoo,
# `weights fetch`: tests/zoo/weights
APART = ("add", "check", "compile", "receive", "pull", "diff", "bench", "clean", "serve")


def test_every_command_has_json_and_a_shape():
    assert {name.split()[0] for name in COMMANDS} == set(main.commands)
    assert {line.split()[0] for line in LOOKING} | set(APART) >= set(main.commands)
    for name, command in main.commands.items():
        (option,) = [one for one in command.params if "--json" in one.opts]
        assert option.help == "Print the result as JSON.", name


def test_rows_have_the_searchable_columns():
    assert list(MeasurementRow.__annotations__) == list(KEYS)


def test_output_has_the_documented_shape(shop, words):
    for line in LOOKING:
        result = shop.zoo(*words(line), "--json")
        assert result.exit_code == 0, result.output
        name = "build --plan" if line == "build --plan" else line.split()[0]
        document(name, result.stdout)


def test_compile_and_receive(shop, quick, waiting, tmp_path):
    compiled = shop.zoo("compile", str(quick), "-o", "there.result", "--json")
    assert compiled.exit_code == 0, compiled.output
    about = document("compile", compiled.stdout)
    assert (about["release"], about["target"], about["result"]) == ("tiny@1.0.0", "board", "there.result")
    assert "compiling student" in compiled.stderr
    home = {"ZOO_HOME": str(tmp_path / "home")}
    keep(tmp_path / "home", release("tiny"))
    received = run(home, "receive", "there.result", "--json")
    assert document("receive", received.stdout)["target"] == "board"


def run(home: dict[str, str], *arguments: str) -> Any:
    from click.testing import CliRunner

    return CliRunner().invoke(main, arguments, env=home, catch_exceptions=False)


def test_pull_and_verify_a_damaged_release(shop, tmp_path):
    assert shop.zoo("publish", "tiny").exit_code == 0
    away = Workshop(tmp_path / "away")
    away.root.mkdir()
    away.catalogue.write_text("{}")
    pulled = away.zoo("pull", "tiny", "--target", "openvino-cpu", "--json")
    assert pulled.exit_code == 0, pulled.output
    assert document("pull", pulled.stdout)["manifest"]["name"] == "tiny"
    file = away.home / "pulled/tiny/1.0.0/openvino-cpu/model.xml"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b" ")
    found = away.zoo("verify", "tiny", "--json")
    assert found.exit_code == 4
    assert len(document("verify", found.stdout)["damage"]) == 1


def test_regressions_have_their_own_exit_code(tmp_path):
    home = {"ZOO_HOME": str(tmp_path)}
    keep(tmp_path, release(records=[dense(), measurement(throttled="heat")]), release(
        version="1.1.0", records=[measurement(map_=70), pending()]
    ))  # fmt: skip
    worse = run(home, "diff", "big@1.0.0", "big@1.1.0", "--json")
    assert (worse.exit_code, len(document("diff", worse.stdout)["regressions"])) == (4, 1)
    better = run(home, "diff", "big@1.1.0", "big@1.0.0", "--json")
    assert (better.exit_code, document("diff", better.stdout)["regressions"]) == (0, [])
    document("compare", run(home, "compare", "big@1.0.0", "big@1.1.0", "--json").stdout)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("show none", 1),
        ("build none", 1),
        ("verify none", 1),
        ("yank tiny", 2),
        ("show", 2),
        ("yank tiny@1.0.0", 2),
        ("yank tiny@1.0.0 --undo --reason x", 2),
        ("pull tiny --all -t jetson", 2),
    ],
)
def test_standard_output_is_empty_after_a_failure(shop, line, code):
    result = shop.zoo(*line.split(), "--json")
    assert (result.exit_code, result.stdout) == (code, "")
    assert "Error: " in result.stderr


def test_output_of_libraries_is_excluded(shop, monkeypatch):
    from zoo import doctor

    monkeypatch.setattr(doctor, "this_device", lambda: print("hello") or this_device())
    result = shop.zoo("doctor", "--json")
    document("doctor", result.stdout)
    assert "hello" in result.stderr


def test_numbers_that_are_not_finite_are_null():
    values = {"a": [float("nan"), (float("inf"), -1.5)], "b": {"c": float("-inf")}}
    assert as_text(values) == '{"a": [null, [null, -1.5]], "b": {"c": null}}'
