"""From a stranger's `zoo bench --export` to a row of the publisher's release, and what is refused on the way."""

import json
import shutil

import pytest
from pydantic import ValidationError

from tests.conftest import Workshop
from tests.zoo.cli.conftest import document
from tests.zoo.records import measurement, release
from zoo.home import Home
from zoo.release.local import find_release
from zoo.release.measurements import Measured, Reported, file_name, older_bytes, to_bytes
from zoo.release.submission import LIMIT
from zoo.tables.pareto import front
from zoo.tables.protocol import grouped
from zoo.tables.rows import measurement_rows
from zoo.tables.standing import standing

ONE = ("--target", "onnxruntime-cpu")
REPORTED = Reported(by="Ada", received_at="2026-11-02T00:00:00+00:00", file_sha256="f" * 64)


@pytest.fixture(scope="module")
def sent(finished, tmp_path_factory):
    """A publisher's workshop, and the file that a stranger with a copy of the release sends."""
    root = tmp_path_factory.mktemp("sent")
    stranger = Workshop(root / "stranger")
    shutil.copytree(finished.root, stranger.root, symlinks=True)
    file = root / "tiny.json"
    result = stranger.zoo("bench", "tiny", *ONE, "--export", str(file), "--by", "Ada\x1b[31m Lovelace\n<ada>")
    assert result.exit_code == 0, result.output
    return file, result.output


@pytest.fixture
def publisher(built):
    return built


def received(shop, *arguments):
    result = shop.zoo("receive", *map(str, arguments), "--json")
    assert result.exit_code == 0, result.output
    return document("receive", result.stdout)


def rows_of(shop):
    tables = json.loads(shop.zoo("compare", "tiny", "--json").stdout)["tables"]
    return [row for one in tables for row in one["rows"]]


def test_a_strangers_measurement_becomes_a_row_that_names_them(sent, publisher, tmp_path):
    file, said = sent
    assert "It is text: figures, versions, this machine's processor, system and sensors and your name." in said
    assert said.rstrip().endswith("for: zoo receive tiny.json")
    done = received(publisher, file)
    assert (done["by"], done["kept"], done["known"]) == ("Ada?[31m Lovelace <ada>", True, 0)
    assert [one["precision"] for one in done["added"]] == ["fp32", "int8"]
    rows = [row for row in rows_of(publisher) if row["reported_by"]]
    assert [(row["reported_by"], row["precision"]) for row in rows] == [(done["by"], "fp32"), (done["by"], "int8")]
    assert {row["standing"] for row in rows_of(publisher)} >= {None}
    shown = publisher.zoo("compare", "tiny").output
    assert "reported by Ada?[31m Lovelace <ada>, " in shown

    assert received(publisher, file)["known"] == 2
    assert len(rows_of(publisher)) == 6 + 2
    registry = str(tmp_path / "registry")
    assert "8 measurements" in publisher.zoo("publish", "tiny", "--registry", registry).output
    away = Workshop(tmp_path / "away")
    away.root.mkdir()
    away.catalogue.write_text(f"registry: {{url: '{registry}'}}\n")
    assert away.zoo("pull", "tiny").exit_code == 0
    assert {row["reported_by"] for row in rows_of(away)} == {None, done["by"]}


def test_a_dry_run_writes_nothing(sent, publisher):
    done = received(publisher, sent[0], "--dry-run")
    assert (len(done["added"]), done["kept"]) == (2, False)
    assert not (publisher.home / "measurements").exists()
    said = publisher.zoo("receive", str(sent[0]), "--dry-run").output.splitlines()[-1]
    assert (
        said == "checked: 2 measurements of tiny@1.0.0 by Ada?[31m Lovelace <ada> could be added. Nothing was written."
    )


def test_a_release_without_it_here_is_asked_for(sent, workshop):
    assert "no release 'tiny'" in workshop.refused("receive", str(sent[0]))


def changed(file, folder, change):
    """A copy of a file in which something is changed in place."""
    values = json.loads(file.read_text())
    change(values, *values["measurements"])
    path = folder / "changed.json"
    path.write_text(json.dumps(values))
    return str(path)


def setter(*way, value):
    """A change of a field of the record in fp32; a function gives the new value from the old one."""

    def change(_all, record, *_others):
        place = record
        for key in way[:-1]:
            place = place[key]
        place[way[-1]] = value(place[way[-1]]) if callable(value) else value

    return change


def twice(values, first, *_):
    values["measurements"] = [first, first]


LIES = {
    "content": (lambda values, *_: values.update(content_sha256="0" * 64), "measured with another tiny@1.0.0"),
    "release": (setter("release", value="other@1.0.0"), "it is of other@1.0.0"),
    "cosine": (setter("golden_cosine", value=0.9), "cosine to the golden embedding is 0.9000, at least 0.999 expected"),
    "no cosine": (setter("golden_cosine", value=None), "its cosine to the golden embedding is missing"),
    "not finite": (setter("golden_cosine", value=float("nan")), "cosine to the golden embedding is nan"),
    "network": (setter("network", value="teacher"), "it has figures that zoo bench does not measure"),
    "ratios": (
        setter("ratios", value=[{"baseline": "x", "batch": 1, "ratio": 9, "low": 9, "high": 9, "turns": 9}]),
        "it has figures that zoo bench does not measure",
    ),
    "precision": (setter("precision", value="fp16"), "the release has no artifact in fp16"),
    "ships": (setter("ships", value=True), "it does not say truly whether it ships"),
    "batch": (setter("latency", 0, "batch", value=4), "it has the batches 4, 2, and the recipe has 1, 2"),
    "calls": (setter("latency", 0, "calls", value=51), "more timed calls than the recipe's 50"),
    "percentiles": (setter("latency", 0, "p90_ms", value=1e-9), "its percentiles do not rise"),
    "tail": (setter("latency", 0, "p99_ms", value=1e9), "calls do not support its percentiles"),
    "throughput": (setter("latency", 0, "images_per_second", value=1e9), "does not go with its p50"),
    "light": (
        lambda _all, record, *_: record["latency"][0].update(
            p50_ms=1e-9, p90_ms=None, compute_p50_ms=None, images_per_second=1e12
        ),
        "is faster than any machine",
    ),
    "timer": (setter("latency", 0, "timer", value="the kernel alone"), "timed in another way: the kernel alone"),
    "run": (
        lambda _all, record, *_: record["latency"][0].update(
            p50_ms=1e4, p90_ms=None, compute_p50_ms=None, images_per_second=0.1
        ),
        "its calls take 5",
    ),
    "conditions": (setter("conditions", value=None), "the conditions of its run are missing"),
    "future": (setter("measured_at", value="2999-01-01T00:00:00+00:00"), "or in the future"),
    "past": (setter("measured_at", value="1999-01-01T00:00:00+00:00"), "before the release was made"),
    "no time": (setter("measured_at", value="soon"), "'soon' is not a time in UTC"),
    "map": (setter("accuracy", "map", value=lambda old: old + 1), "can't be, since the network's is"),
    "data": (setter("data", value="0" * 64), "its accuracy is on another data set"),
    "protocol": (setter("accuracy", "queries", value=1), "its accuracy follows another protocol"),
    "two": (twice, "two records of one artifact"),
    "none": (lambda values, *_: values.update(measurements=[]), "is not what zoo bench --export writes"),
    "field": (lambda _all, record, *_: record.update(more=1), "is not what zoo bench"),
    "newer": (lambda values, *_: values.update(schema_version=2), "has schema 2; this version reads 1. Upgrade"),
    "long": (setter("device", "name", value="x" * 201), "a text has 201 characters; the limit is 200"),
    "sensors": (
        setter("conditions", "before", "temperatures_c", value={str(n): 1.0 for n in range(101)}),
        "an object has 101 entries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_what_can_not_be_true_is_refused_and_nothing_is_written(lie, sent, finished, tmp_path):
    change, why = LIES[lie]
    assert why in finished.refused("receive", "--dry-run", changed(sent[0], tmp_path, change))
    assert not (finished.home / "measurements").exists()


def test_who_reported_is_what_the_file_says_at_its_top_and_not_what_a_record_claims(sent, publisher, tmp_path):
    claim = REPORTED.model_dump() | {"by": "the publisher"}
    received(publisher, changed(sent[0], tmp_path, lambda _all, record, *_: record.update(reported=claim)))
    claims = [json.loads(path.read_text())["reported"] for path in (publisher.home / "measurements").rglob("*.json")]
    assert {one["by"] for one in claims} == {"Ada?[31m Lovelace <ada>"}


def test_words_of_a_device_become_one_printable_line_without_secrets(sent, publisher, tmp_path):
    def change(_all, record, *_others):
        record["device"]["name"] = "a\x1b]8;;https://x.example\x07b\u202ec\nd"
        record["runtime"]["options"] = {"from": "https://me:secret@host.example/x?token=hidden-token"}

    received(publisher, changed(sent[0], tmp_path, change))
    row = next(row for row in rows_of(publisher) if row["device"].startswith("a?"))
    assert row["device"] == "a?]8;;https://x.example?… d"
    text = "".join(path.read_text() for path in (publisher.home / "measurements").rglob("*.json"))
    assert "secret" not in text
    assert "hidden-token" not in text


def test_doubtful_times_are_kept_as_such(sent, publisher, tmp_path):
    def change(_all, first, second):
        first["conditions"]["throttled"] = "CPU too hot"
        second["latency"][0]["steady"] = False

    done = received(publisher, changed(sent[0], tmp_path, change))
    assert done["notes"] == [
        "onnxruntime-cpu in fp32: its times are void, throttled by CPU too hot",
        "onnxruntime-cpu in int8: its times are unsteady (never became steady)",
    ]
    rows = {row["precision"]: row for row in rows_of(publisher) if row["reported_by"]}
    assert rows["fp32"]["p50_ms"] is None
    assert rows["int8"]["doubt"] == "never became steady"


@pytest.mark.parametrize(
    "content", [b"{", b"{}", b"[" * 10**5, b"{" + b" " * LIMIT + b"}", b"\xff\xfe{", b'{"a": 1e999}']
)
def test_nonsense_is_refused_in_a_line(finished, tmp_path, content):
    (tmp_path / "nonsense").write_bytes(content)
    assert len(finished.refused("receive", str(tmp_path / "nonsense"))) < 500


def test_who_measured_is_a_short_line_told_before_the_work(finished, tmp_path):
    out = tmp_path / "x.json"
    for by in ("", " \n ", "x" * 101):
        assert "it needs 1 to 100" in finished.refused("bench", "tiny", "--export", str(out), "--by", by)
    assert finished.zoo("bench", "tiny", "--by", "Ada").exit_code == 2
    assert "does not exist" in finished.refused("bench", "tiny", "--export", str(tmp_path / "no/x.json"))
    assert not out.exists()


def sent_record(p50_ms=5.0, **changes):
    return measurement(p50_ms, run="theirs", reported=REPORTED, **changes)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], "reported"),
        ([measurement(5.4)], "repeated"),
        ([measurement(5.6)], "reported"),  # by more than 10 %
        ([measurement(5.0, map_=80.4)], "repeated"),
        ([measurement(5.0, map_=80.9)], "reported"),  # by more than the gate
        ([measurement(5.0, threads=4)], "reported"),
        ([measurement(5.0, device={**measurement().device.__dict__, "name": "another"})], "reported"),
        ([measurement(5.0, throttled="heat")], "reported"),
        ([measurement(5.0, steady=False)], "reported"),
        ([sent_record(5.0)], "reported"),  # another stranger's does not count
    ],
)  # fmt: skip
def test_repeated_is_what_the_publisher_measured_in_the_same_way(own, expected):
    theirs = sent_record()
    assert standing(theirs, [theirs, *own], 0.5) == expected
    assert all(standing(one, [theirs, *own], 0.5) is None for one in own if one.reported is None)


def test_what_nobody_repeated_is_never_best_nor_on_the_front():
    def rows(*records):
        return measurement_rows([release("big", records=[*records])])

    slow, other, fast = measurement(5.0), measurement(6.0, target="onnxruntime-cpu"), sent_record(1.0)
    (group,) = grouped(rows(slow, other, fast))
    assert [group.rows[at]["p50_ms"] for at in group.best["p50_ms"]] == [5.0]
    assert fast not in front(group.rows)
    assert [row["p50_ms"] for row in front(group.rows)] == [5.0]
    assert any(note.startswith("reported by Ada, not repeated, never best: ") for note in group.notes)
    (group,) = grouped(rows(slow, other, fast, measurement(1.05, run="again")))
    assert [group.rows[at]["p50_ms"] for at in group.best["p50_ms"]] == [1.0]
    assert any(note.startswith("reported by Ada, repeated here: ") for note in group.notes)


def test_an_artifact_is_not_chosen_by_what_somebody_reported(sent, publisher, tmp_path, monkeypatch):
    from zoo.use.runnable import runnables

    monkeypatch.setenv("ZOO_HOME", str(publisher.home))
    before = [one.target for one in runnables(find_release(Home.find(), "tiny"))]
    found = find_release(Home.find(), "tiny")
    slowest = [one.target for one in runnables(found) if not one.is_graph][-1]
    claim = next(one for one in found.measured if one.target == slowest and one.ships)
    fast = claim.latency[0].__class__(**vars(claim.latency[0]) | {"p50_ms": 1e-3, "images_per_second": 1e6})
    lie = claim.model_copy(update={"latency": [fast], "reported": REPORTED, "run": "lie"})
    found.measurements.append(lie)
    assert [one.target for one in runnables(found)] == before


def test_a_registry_does_not_get_a_record_again_that_an_earlier_version_published(built, tmp_path, monkeypatch):
    registry = str(tmp_path / "registry")
    with monkeypatch.context() as patch:
        patch.setattr("zoo.registry.publish.to_bytes", lambda record: older_bytes(record) or to_bytes(record))
        assert "6 measurements" in built.zoo("publish", "tiny", "--registry", registry).output
    index = (tmp_path / "registry/index.json").read_bytes()
    built.zoo("publish", "tiny", "--registry", registry)
    assert (tmp_path / "registry/index.json").read_bytes() == index
    assert older_bytes(sent_record()) is None
    assert older_bytes(measurement()) != to_bytes(measurement())
    read = Measured.model_validate_json(older_bytes(measurement()))
    assert file_name(read) == file_name(measurement())


def test_a_record_without_a_name_is_valid_and_one_with_a_long_name_is_not():
    assert Reported(by=None, received_at="x", file_sha256="f" * 64)
    with pytest.raises(ValidationError):
        Reported(by="x" * 101, received_at="x", file_sha256="f" * 64)
