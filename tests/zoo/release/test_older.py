"""Manifests and measurements of older schemas are read as they are: nothing is lost or made up."""

import copy
import json

import pytest

from tests.zoo.release.older_releases import LAST, OLDER, SECOND
from zoo.errors import ManifestError
from zoo.layout import SCHEMA
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Pending, from_bytes, from_values
from zoo.release.migrate import NO_CONDITIONS, migrated
from zoo.release.reading import parse, parse_manifest

EVERY = pytest.mark.parametrize("old", SECOND.values(), ids=SECOND)
FIGURES = ("accuracy", "reranked", "agreement", "latency", "size_bytes")


def records_of(old: dict) -> list:
    return [from_values(values, "", "") for values in parse(json.dumps(old).encode(), "", "").measurements]


@pytest.mark.parametrize("name", OLDER)
def test_manifests_and_measurements_of_earlier_commits_are_read(name):
    kept = OLDER[name]
    found = parse(json.dumps(kept["manifest"]).encode(), "", "")
    assert found.schema == kept["manifest"]["schema_version"]
    for record in kept["measurements"]:
        read = from_bytes(json.dumps(record).encode(), "")
        assert read.model_dump(mode="json", include=set(record)).keys() == record.keys()


@pytest.mark.parametrize("name", OLDER)
def test_what_an_earlier_commit_wrote_keeps_its_value(name):
    """All but the measurements that stood in the manifest, which are records now."""
    kept = OLDER[name]
    after = parse_manifest(json.dumps(kept["manifest"]).encode(), "", "").model_dump(mode="json")
    assert_kept({key: value for key, value in kept["manifest"].items() if key != "measurements"}, after)
    for record in kept["measurements"]:
        assert_kept(record, from_bytes(json.dumps(record).encode(), "").model_dump(mode="json"))


def assert_kept(before: object, after: object, at: str = "") -> None:
    if isinstance(before, dict):
        assert isinstance(after, dict), at
        for key, value in before.items():
            if key != "schema_version":
                assert_kept(value, after[key], f"{at}.{key}")
    elif isinstance(before, list):
        assert isinstance(after, list), at
        assert len(before) == len(after), at
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            assert_kept(one, other, f"{at}[{number}]")
    else:
        assert before == after, at


@EVERY
def test_everything_measured_in_a_manifest_of_schema_2_becomes_a_record_with_equal_figures(old):
    records = records_of(old)
    measured = [one for one in records if isinstance(one, Measured)]
    rows = [(run, row) for run in old["measurements"] if run["kind"] == "measured" for row in run["rows"]]
    assert len(measured) == len(rows) > 0
    for record, (run, row) in zip(measured, rows, strict=True):
        after = record.model_dump(mode="json")
        assert_kept({key: row[key] for key in (*FIGURES, "network", "precision")}, after)
        assert_kept({key: run[key] for key in ("target", "device", "runtime", "threads", "measured_at")}, after)
        assert after["ratios"] == row.get("ratios", [])
        assert after["conditions"] == (run.get("conditions") and after["conditions"] | run["conditions"])
        assert after["data"] == old["data"]["fingerprint"]
        assert record.release == "tiny@1.0.0"
        assert record.ships == ((row["network"], row["precision"]) == ("student", run["chosen"]))
    waiting = [run for run in old["measurements"] if run["kind"] == "pending"]
    pending = [one for one in records if isinstance(one, Pending)]
    assert [(one.target, one.bundle, one.bundle_sha256) for one in pending] == [
        (run["target"], run["bundle"], run["bundle_sha256"]) for run in waiting
    ]


def test_rows_of_one_run_share_its_name_and_other_runs_have_another():
    later = copy.deepcopy(LAST)
    later["measurements"][0]["measured_at"] = "2027-01-01T00:00:00+00:00"
    names = [{one.run for one in records_of(old) if isinstance(one, Measured)} for old in (LAST, later)]
    assert [len(name) for name in names] == [1, 1]
    assert names[0] != names[1]


@EVERY
def test_what_schema_2_does_not_say_is_not_made_up(old):
    found = parse(json.dumps(old).encode(), "", "")
    assert {terms for _, terms in found.manifest.licenses} == {"not stated"}
    assert (found.manifest.documents, found.manifest.budget) == ([], None)
    assert found.manifest.data.gate_identities == 0
    for record in records_of(old):
        if isinstance(record, Measured):
            assert (record.gate, record.ships_by, record.golden_cosine) == (None, None, None)
    assert len(found.unknown) >= 5
    assert (NO_CONDITIONS in found.unknown) == ("conditions" not in old["measurements"][0])


def test_times_whose_conditions_were_not_recorded_make_no_claims():
    record = records_of(SECOND["schema-2-at-cbfafd8"])[0]
    assert record.conditions is None
    assert not record.counts
    assert record.doubt == "the conditions of the run were not recorded"


@EVERY
def test_a_step_leaves_what_it_was_given_as_it_was_and_the_present_schema_needs_none(old):
    before = copy.deepcopy(old)
    once = migrated(old)
    assert old == before
    assert once.manifest["schema_version"] == SCHEMA
    again = migrated(once.manifest)
    assert again.manifest == once.manifest
    assert (again.measurements, again.unknown) == ([], ())


@pytest.mark.parametrize(
    ("change", "why"),
    [({"schema_version": 99}, "has schema 99; this version reads 3. Upgrade: pip install -U edge-model-zoo."),
     ({"schema_version": 1}, "has schema 1; this version reads 2 to 3. Mend it."),
     ({"schema_version": True}, "is not valid"),
     ({"schema_version": "2"}, "is not valid"),
     ({"schema_version": 3}, "is not valid: licenses: Field required. Mend it."),
     ({"measurements": None}, "does not have the form of schema 2: a part has another type. Mend it."),
     ({"measurements": [7]}, "does not have the form of schema 2: a part has another type. Mend it."),
     ({"measurements": [{"kind": "measured"}]}, "does not have the form of schema 2: 'target' is missing. Mend it."),
     ({"data": []}, "does not have the form of schema 2: a part has another type. Mend it."),
     ({"surprise": 1}, "is not valid: surprise: Extra inputs are not permitted. Mend it.")],
)  # fmt: skip
def test_what_is_of_no_schema_that_is_read_is_refused_in_a_line(change, why):
    with pytest.raises(ManifestError) as caught:
        parse(json.dumps(LAST | change).encode(), "here", "Mend it.")
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_measurement_of_a_newer_schema_says_that_zoo_is_too_old():
    record = OLDER["schema-3-at-6681dee"]["measurements"][0]
    with pytest.raises(ManifestError, match=r"here has schema 2; this version reads 1\. Upgrade: pip install -U"):
        from_bytes(json.dumps(record | {"schema_version": 2}).encode(), "here")


def test_no_file_of_a_release_has_the_name_of_an_older_manifest():
    values = parse_manifest(json.dumps(LAST).encode(), "", "").model_dump(mode="json")
    values["artifacts"][0]["path"] = "manifest.schema-2.json"
    with pytest.raises(ValueError, match="leads out of the release's folder"):
        Manifest.model_validate(values)
