"""`zoo compare`, `zoo search` and `zoo diff`, for people and for scripts."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from tests.zoo.records import ORIN, broken, dense, estimated, keep, measurement, pending, release
from zoo.cli import main


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    orin = measurement(2, device=ORIN, target="jetson-orin-nano")
    keep(
        folder,
        release(records=[dense(), measurement(), orin]),
        release(version="1.1.0", records=[measurement(map_=70), estimated(), pending(), broken()]),
        release("small", records=[measurement(3, 75)]),
    )
    return folder


@pytest.fixture
def zoo(home):
    def run(*arguments, code=0):
        result = CliRunner().invoke(main, arguments, env={"ZOO_HOME": str(home)}, catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


def test_compare_prints_each_format(zoo):
    names = ("big@1.0.0", "small")
    assert "2 tables, since figures compare within one protocol only" in zoo("compare", *names).stdout
    assert zoo("compare", *names, "--format", "markdown").stdout.count("**AMD EPYC (x86_64, 2 cores)") == 1
    rows = list(csv.DictReader(io.StringIO(zoo("compare", *names, "--format", "csv").stdout)))
    content = json.loads(zoo("compare", *names, "--format", "json").stdout)
    assert len(rows) == sum(len(table["rows"]) for table in content["tables"]) == 4
    assert zoo("compare", *names, "--json").stdout == zoo("compare", *names, "--format", "json").stdout


def test_a_release_named_twice_is_shown_once(zoo):
    content = json.loads(zoo("compare", "small", "small@1.0.0", "--json").stdout)
    assert len(content["tables"][0]["rows"]) == 1


@pytest.mark.parametrize("kind", ["estimated", "pending", "broken"])
def test_unmeasured_rows_are_reported_besides_the_csv(zoo, kind):
    result = zoo("compare", "big", "--format", "csv")
    assert kind in result.stderr
    assert kind not in result.stdout


def test_compare_on_a_device_and_its_alias(zoo):
    for words in ("orin-nano", "jetson", "EPYC"):
        content = json.loads(zoo("compare", "big@1.0.0", "--device", words, "--json").stdout)
        assert len(content["tables"]) == 1


def test_compare_draws(zoo, tmp_path):
    result = zoo("compare", "big@1.0.0", "--json", "--plot", str(tmp_path / "a.svg"))
    assert json.loads(result.stdout)
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_search_over_all_releases(zoo):
    result = zoo("search", "map > 72 and p50_ms < 5", "--sort", "p50_ms", "--json")
    models = [row["model"] for table in json.loads(result.stdout)["tables"] for row in table["rows"]]
    assert models == ["big@1.0.0", "small@1.0.0"]
    assert result.stderr.startswith("2 of 4 match")
    assert zoo("search", "map > 72", "--device", "orin").stdout.count("big@1.0.0") == 1
    assert "0 of 4 match" in zoo("search", "map > 99").stderr
    assert "teacher" not in zoo("search", "network == 'teacher'").stdout
    assert "teacher" in zoo("search", "network == 'teacher'", "--all-precisions").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "__import__('os')"),
        ("search", "9**9**9"),
        ("search", "x" * 100_000),
        ("search", "map > 1", "--sort", "nothing"),
        ("search", "map > 1", "--device", "tpu"),
        ("compare", "big", "--device", "tpu"),
        ("compare", "bag"),
        ("compare", "big", "--plot", "a.gif"),
        ("diff", "big", "big@1.1.0"),
        ("diff", "big@1.0.0", "big@7.0.0"),
    ],
)
def test_errors_have_at_most_two_lines(zoo, arguments):
    result = zoo(*arguments, code=1)
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) <= 2
    assert not result.stdout


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("target == openvino-cpu", "A text needs quotes: target == 'openvino-cpu'"),
        ("map > 1 and (target != openvino-cpu)", "A text needs quotes: target != 'openvino-cpu'"),
        ("precision == int8", "A text needs quotes: precision == 'int8'"),
        ("model == big@1.0.0", "A text needs quotes: model == 'big@1.0.0'"),
        ("map == 80-", "There is no arithmetic and there are no calls."),
    ],
)
def test_a_text_without_quotes_is_explained(zoo, expression, told):
    assert zoo("search", expression, code=1).stderr.endswith(f" {told}\n")


@pytest.mark.parametrize("expression", ["map > '{}'", "target == {}-", "map > {} 1", "{}", "ships == 1{}", "{}("])
def test_long_input_is_not_repeated_in_errors(zoo, expression):
    error = zoo("search", expression.format("7" * 900), code=1).stderr
    assert "7" * 61 not in error
    error = zoo("search", expression.format("x" * 900), code=1).stderr
    assert "x" * 61 not in error
    assert len(error) < 400


def test_a_home_without_releases_is_reported(tmp_path):
    result = CliRunner().invoke(main, ("search", "map > 1"), env={"ZOO_HOME": str(tmp_path)})
    assert result.exit_code == 1
    assert "no release" in result.stderr


def test_diff_prints_regressions_first_and_exits_with_4(zoo):
    result = zoo("diff", "big@1.0.0", "big@1.1.0", code=4)
    assert result.stdout.index("regressions: 1") < result.stdout.index("improvements: none")
    assert "-10.00 points" in result.stdout
    assert "only in big@1.0.0: int8 on jetson-orin-nano" in result.stdout
    assert "regressions: none" in zoo("diff", "big@1.1.0", "big@1.0.0").stdout
    zoo("diff", "big@1.0.0", "big@1.1.0", "--map-points", "10")
    tolerances = json.loads(zoo("diff", "big@1.1.0", "big@1.0.0", "--latency-percent", "7", "--json").stdout)
    assert (tolerances["map_points"], tolerances["latency_percent"]) == (0.5, 7)


def test_diff_as_json_has_all_buckets(zoo):
    content = json.loads(zoo("diff", "big@1.0.0", "big@1.1.0", "--json", code=4).stdout)
    assert [(one["figure"], one["change"]) for one in content["regressions"]] == [("map", -10.0)]
    assert {"before", "after", "improvements", "unsure", "unchanged", "only_before", "only_after"} < set(content)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "much"])
def test_a_tolerance_must_not_be_negative(zoo, value):
    for option in ("--map-points", "--latency-percent"):
        zoo("diff", "big@1.0.0", "big@1.1.0", option, value, code=2)
