"""Older releases are read as they are, and `zoo migrate` rewrites them: nothing is lost, made up or half done."""

import copy
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from pipeline.data.images import Input
from pipeline.progress import Silent
from targets.files import sha256
from tests.helpers import random_images
from tests.zoo.cli.conftest import document
from tests.zoo.registry.samples import put_release, tree
from tests.zoo.shelf import write_graph
from zoo.cli import main
from zoo.errors import ManifestError, OutputError, RegistryError
from zoo.home import Home
from zoo.layout import SCHEMA
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage
from zoo.release import rewrite as rewriting
from zoo.release.local import find_release, read_all
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Pending, from_bytes, from_values
from zoo.release.migrate import NO_CONDITIONS, migrated
from zoo.release.reading import parse, parse_manifest
from zoo.release.rewrite import rewrite, rewrite_all

OLDER = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "older").glob("*.json"))}
SECOND = {name: kept["manifest"] for name, kept in OLDER.items() if kept["manifest"]["schema_version"] == 2}
LAST = SECOND["schema-2-at-3ca8a33"]  # of which one target waits for its device
EVERY = pytest.mark.parametrize("old", SECOND.values(), ids=SECOND)
FIGURES = ("accuracy", "reranked", "agreement", "latency", "size_bytes")


def put(folder: Path, manifest: object) -> Path:
    """A manifest where a release has it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return folder


def with_graph(folder: Path, old: dict) -> dict:
    """A manifest whose only artifact is a graph that runs; it is written, too."""
    path = write_graph(folder / "graph/model.onnx", size=Input(height=32, width=32), dimension=16)
    artifact = next(one for one in old["artifacts"] if one["target"] is None)
    facts = {"path": "graph/model.onnx", "size_bytes": path.stat().st_size, "sha256": sha256(path)}
    return old | {"artifacts": [artifact | facts]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """tiny@1.0.0 of schema 2, and new@1.0.0, both built here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    found = Home(tmp_path / "home")
    put(found.releases / "tiny/1.0.0", with_graph(found.releases / "tiny/1.0.0", LAST))
    put_release(found, "new")
    return found


def run(*arguments, code=0):
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def records_of(old: dict) -> list:
    return [from_values(values, "", "") for values in parse(json.dumps(old).encode(), "", "").measurements]


# --- what is read ---


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


# --- what is written ---


def test_a_migrated_release_reads_as_it_did_before_and_keeps_the_older_manifest(home):
    before, was = find_release(home, "tiny"), contents(home.releases / "tiny")
    done = rewrite(before, dry=False)
    after = find_release(home, "tiny")
    assert (done.outcome, done.schema, done.measurements, done.kept) == ("migrated", 2, 4, "manifest.schema-2.json")
    assert (before.schema, after.schema) == (2, SCHEMA)
    assert after.manifest == before.manifest
    assert after.measurements == before.measurements
    now = contents(home.releases / "tiny")
    assert now.pop("1.0.0/manifest.schema-2.json") == was["1.0.0/manifest.json"]
    assert len([name for name in now.keys() - was.keys() if name.startswith("1.0.0/measurements/")]) == 4
    assert now["1.0.0/graph/model.onnx"] == was["1.0.0/graph/model.onnx"]
    assert [*damage(after)] == []


def test_migrating_again_changes_nothing(home):
    rewrite(find_release(home, "tiny"), dry=False)
    before = contents(home.root)
    assert rewrite(find_release(home, "tiny"), dry=False).outcome == "current"
    assert contents(home.root) == before


def test_a_dry_run_writes_nothing(home):
    before = contents(home.root)
    assert rewrite(find_release(home, "tiny"), dry=True).outcome == "migrated"
    assert contents(home.root) == before


@pytest.mark.parametrize("step", ["write_bytes kept", "write_measurements", "write_bytes manifest"])
def test_what_is_cut_at_any_step_reads_as_before_and_is_finished_the_next_time(home, monkeypatch, step):
    before = find_release(home, "tiny")
    name, _, at = step.partition(" ")
    really = getattr(rewriting, name)

    def fails(path, *arguments):
        if at in ("kept", "") or path.name == "manifest.json":
            raise OSError(28, "No space left on device", str(path))
        really(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rewriting, name, fails)
        with pytest.raises(OutputError, match=r"can't migrate tiny@1\.0\.0: .*No space left.*It is unchanged"):
            rewrite(before, dry=False)
    cut = find_release(home, "tiny")
    assert (cut.schema, cut.manifest, cut.measurements) == (2, before.manifest, before.measurements)
    assert rewrite(cut, dry=False).outcome == "migrated"
    assert find_release(home, "tiny").measurements == before.measurements


def test_one_that_cannot_be_read_does_not_keep_the_others_from_it(home):
    put(home.releases / "bad/1.0.0", LAST | {"schema_version": 99})
    done, failed = rewrite_all(home, None, dry=False)
    assert {one.release: one.outcome for one in done} == {"tiny@1.0.0": "migrated", "new@1.0.0": "current"}
    assert [*failed] == ["bad@1.0.0"]


# --- a home and a registry of mixed schemas ---


def test_releases_of_mixed_schemas_are_listed_shown_compared_and_searched(home):
    listed = run("list")
    assert "tiny@1.0.0" in listed.stdout
    assert "new@1.0.0" in listed.stdout
    assert "older schema, which every command reads: tiny@1.0.0. See zoo migrate" in listed.stderr
    assert document("list", run("list", "--json").stdout)["older"] == {"tiny@1.0.0": 2}
    document("show", run("show", "tiny", "--json").stdout)
    compared = document("compare", run("compare", "tiny", "new", "--json").stdout)
    assert {row["model"] for table in compared["tables"] for row in table["rows"]} == {"tiny@1.0.0", "new@1.0.0"}
    found = document("search", run("search", "map>0", "--json").stdout)
    assert {row["model"] for table in found["tables"] for row in table["rows"]} == {"tiny@1.0.0", "new@1.0.0"}
    rewrite_all(home, None, dry=False)
    assert "older schema" not in run("list").stderr
    assert document("compare", run("compare", "tiny", "new", "--json").stdout) == compared


def test_an_older_release_embeds_before_and_after_it_is_migrated(home):
    before = zoo.load("tiny").embed(random_images(3))
    rewrite_all(home, ["tiny"], dry=False)
    assert (zoo.load("tiny").embed(random_images(3)) == before).all()


def test_a_release_of_an_older_schema_is_migrated_before_it_is_published(home, tmp_path):
    place = open_place(str(tmp_path / "registry"))
    with pytest.raises(RegistryError, match=r"Migrate it first: zoo migrate tiny@1\.0\.0"):
        publish(find_release(home, "tiny"), place, None, Silent())
    rewrite_all(home, ["tiny"], dry=False)
    assert publish(find_release(home, "tiny"), place, None, Silent()).measurements == 3


@pytest.fixture
def mixed(home, tmp_path, key):
    """A registry with a signed release of schema 2, as if it was published when that was the present one."""
    place = open_place(str(tmp_path / "registry"))
    away = Home(tmp_path / "away")
    shutil.copytree(home.releases / "tiny", away.pulled / "tiny")
    publish(find_release(away, "tiny"), place, key, Silent())
    publish(find_release(home, "new"), place, key, Silent())
    return place


@pytest.fixture
def key(tmp_path):
    """A private key; its public half is beside it."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    pytest.importorskip("model_signing")
    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "team.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def test_an_older_release_of_a_registry_is_pulled_as_it_was_signed_and_stays_so(home, mixed, key, tmp_path):
    there = Home(tmp_path / "there")
    registry = Registry([mixed], Cache(there.cache), [key.with_suffix(".pub")], require_signature=True)
    pulled = pull(registry, there, "tiny", chooser(None), Silent())
    assert pulled.schema == 2
    assert pulled.path.read_bytes() == (home.releases / "tiny/1.0.0/manifest.json").read_bytes()
    assert len(pulled.measured) == 3
    before = tree(there.root)
    assert [one.outcome for one in rewrite_all(there, None, dry=False)[0]] == ["published"]
    assert tree(there.root) == before
    assert pull(registry, there, "new", chooser(None), Silent()).schema == SCHEMA
    assert read_all(there).damaged == {}


def test_a_registry_says_which_schemas_it_holds_and_is_not_written(mixed):
    before = contents(Path(mixed.url))
    told = run("migrate", "--registry", mixed.url)
    assert "tiny@1.0.0: schema 2, kept as published; every command reads it" in told.stdout
    assert "new@1.0.0: schema 3, current" in told.stdout
    about = document("migrate", run("migrate", "--registry", mixed.url, "--json").stdout)
    assert {one["release"]: one["schema"] for one in about["releases"]} == {"tiny@1.0.0": 2, "new@1.0.0": 3}
    assert contents(Path(mixed.url)) == before


# --- the command ---


def test_the_command_says_what_became_of_each_and_how_to_sign_again(home):
    told = run("migrate", "--all")
    assert told.stdout.splitlines() == [
        "new@1.0.0: schema 3, current",
        "tiny@1.0.0: migrated from schema 2 to 3, with 4 measurements; the old manifest is kept as "
        "manifest.schema-2.json",
    ]
    assert "licenses are not stated" in told.stderr
    assert "Sign when you publish: zoo publish NAME --sign-key FILE" in told.stderr
    again = run("migrate", "tiny", "new@1.0.0")
    assert again.stderr == ""
    assert home.root.exists()


def test_the_command_says_that_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "empty"))
    told = run("migrate", "--all")
    assert (told.stdout, told.stderr) == ("", f"no releases in {tmp_path / 'empty'}\n")


def test_the_command_says_in_json_what_would_be_done(home):
    before = contents(home.root)
    about = document("migrate", run("migrate", "tiny", "--dry-run", "--json").stdout)
    assert about["dry_run"]
    (one,) = about["releases"]
    assert (one["release"], one["outcome"], one["kept"]) == ("tiny@1.0.0", "migrated", "manifest.schema-2.json")
    assert contents(home.root) == before


def test_what_cannot_be_migrated_is_an_error_after_the_others_are_done(home):
    put(home.releases / "bad/1.0.0", LAST | {"schema_version": 99})
    told = run("migrate", "--all", code=1)
    assert "Error: the manifest " in told.stderr
    assert "has schema 99; this version reads 3. Upgrade" in told.stderr
    assert find_release(home, "tiny").schema == SCHEMA
    put(home.releases / "bad/1.0.1", LAST | {"schema_version": 1})
    told = run("migrate", "--all", "--json", code=1)
    assert told.stdout == ""
    assert told.stderr.startswith("bad@1.0.0: ")
    assert "bad@1.0.1: " in told.stderr
    assert "Error: 2 of 4 releases failed" in told.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["tiny", "--all"], ["tiny", "--registry", "x"], ["--all", "--registry", "x"]]
)
@pytest.mark.usefixtures("home")
def test_the_command_asks_which_releases(arguments):
    assert "which releases? Write NAME, --all, or --registry URL." in run("migrate", *arguments, code=2).stderr


def test_no_file_of_a_release_has_the_name_of_an_older_manifest():
    values = parse_manifest(json.dumps(LAST).encode(), "", "").model_dump(mode="json")
    values["artifacts"][0]["path"] = "manifest.schema-2.json"
    with pytest.raises(ValueError, match="leads out of the release's folder"):
        Manifest.model_validate(values)
