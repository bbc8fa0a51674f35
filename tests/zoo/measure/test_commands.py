"""`zoo bench` and `zoo verify --measure`."""

import json
from typing import Any

import pytest

from tests.conftest import Workshop
from tests.zoo.cli.conftest import document
from zoo.cli.bench import print_repeated
from zoo.measure.repeat import Repeated

ONE = ("--target", "onnxruntime-cpu")


@pytest.fixture
def benched(built):
    """A workshop in which a release was measured again, and the output."""
    result = built.zoo("bench", "tiny", *ONE, "--json")
    assert result.exit_code == 0, result.output
    return built, document("bench", result.stdout)["added"]


def rows_of(shop):
    return [row for one in json.loads(shop.zoo("compare", "tiny", "--json").stdout)["tables"] for row in one["rows"]]


def test_measurements_are_added_and_published(benched, tmp_path):
    shop, added = benched
    assert [(one["precision"], one["ships"]) for one in added] == [("fp32", False), ("int8", True)]
    assert len(rows_of(shop)) == 6 + 2
    registry = str(tmp_path / "registry")
    assert "8 measurements" in shop.zoo("publish", "tiny", "--registry", registry).output
    again = json.loads(shop.zoo("bench", "tiny", *ONE, "--json").stdout)["added"]
    assert "added: 2 measurements" in shop.zoo("publish", "tiny", "--registry", registry).output
    away = Workshop(tmp_path / "away")
    away.root.mkdir()
    away.catalogue.write_text(f"registry: {{url: '{registry}'}}\n")
    assert away.zoo("pull", "tiny").exit_code == 0
    runs = {row["run"] for row in rows_of(away)}
    assert {added[0]["run"], again[0]["run"]} < runs
    assert len(runs) == 4


def test_a_table_and_what_to_do_next(built):
    result = built.zoo("bench", "tiny", *ONE, "--threads", "1")
    assert result.exit_code == 0, result.output
    assert ", CPU, 1 thread\n" in result.stdout
    assert result.stdout.endswith("added: 2 measurements of tiny@1.0.0. Publish them: zoo publish tiny@1.0.0\n")


def test_an_unknown_name_and_a_board_elsewhere(built):
    assert built.refused("bench", "tini").startswith("no release 'tini'")
    assert built.refused("bench", "tiny", "-t", "openvino-cp").startswith("no target 'openvino-cp' in the catalogue")
    assert "but this machine is another one" in built.refused("bench", "tiny", "-t", "raspberrypi5")
    assert not (built.home / "measurements").exists()


def test_true_figures_are_within_tolerance_and_false_ones_are_not(built):
    result = built.zoo("verify", "tiny", "--measure", *ONE, "--json")
    assert result.exit_code in (0, 4), result.output  # times may be anything: this machine is busy
    found = {(one["precision"], one["figure"]): one for one in document("verify", result.stdout)["figures"]}
    assert {precision for precision, _ in found} == {"fp32", "int8"}
    for precision in ("fp32", "int8"):
        assert found[precision, "map"]["verdict"] == found[precision, "cosine"]["verdict"] == "within"
    assert not (built.home / "measurements").exists()  # nothing is added

    for path in (built.home / "releases/tiny/1.0.0/measurements").glob("onnxruntime-cpu-student-int8-*.json"):
        record = json.loads(path.read_text())
        record["accuracy"]["map"] += 20
        path.unlink()
        path.write_text(json.dumps(record))
    result = built.zoo("verify", "tiny", "--measure", *ONE)
    assert result.exit_code == 4
    (line,) = [line for line in result.stdout.splitlines() if "int8" in line and "mAP %" in line]
    assert "outside" in line


def figures_again(shop):
    result = shop.zoo("verify", "tiny", "--measure", *ONE, "--json")
    assert result.exit_code in (0, 4), result.output
    return document("verify", result.stdout)["figures"]


def test_measurements_added_here_are_not_published_figures(benched):
    shop, _ = benched
    for path in (shop.home / "measurements").rglob("*.json"):
        record = json.loads(path.read_text())
        record["accuracy"]["map"] += 20
        path.write_text(json.dumps(record))
    assert {one["verdict"] for one in figures_again(shop) if one["figure"] == "map"} == {"within"}


def test_it_is_measured_with_the_published_number_of_threads(built):
    for path in (built.home / "releases/tiny/1.0.0/measurements").glob("onnxruntime-cpu-*.json"):
        record = json.loads(path.read_text())
        path.unlink()
        path.write_text(json.dumps(record | {"threads": 1}))
    assert not [one for one in figures_again(built) if "threads" in one["why"]]


def test_the_last_line_counts_the_verdicts(capsys):
    figures = {
        "cosine": (None, 0.99, 0.98, None, "within", ""),
        "map": (80.0, 80.1, 79.5, 80.5, "within", ""),
        "p50_ms": (5.0, 9.0, 4.5, 5.5, "outside", ""),
        **dict.fromkeys(("p90_ms", "p99_ms", "cmc1"), (5.0, 9.0, None, None, "not judged", "void")),
    }
    rows: list[Any] = [("cpu", "int8", figure, *about) for figure, about in figures.items()]
    print_repeated([Repeated(*row) for row in rows])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 figures within tolerance, 1 outside, 3 not judged"
    (cosine,) = [line for line in lines if "golden" in line]
    assert cosine.split()[-4:] == ["0.9800", "…", "1", "within"]


def test_a_damaged_release_is_not_measured(built):
    file = built.home / "releases/tiny/1.0.0/onnxruntime-cpu/model.onnx"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content + b"x")
    result = built.zoo("verify", "tiny", "--measure", "--json")
    assert result.exit_code == 4
    assert document("verify", result.stdout)["figures"] is None


def test_target_requires_measure(built):
    result = built.zoo("verify", "tiny", *ONE)
    assert result.exit_code == 2
    assert "--target needs --measure" in result.stderr


def test_figures_come_as_events(built):
    result = built.zoo("bench", "tiny", *ONE, "--events")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["event"] == "said"
    assert [one["event"] for one in events].count("result") == 1
    assert len(events[-1]["result"]["added"]) == 2
