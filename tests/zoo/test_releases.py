"""Releases on this machine: damaged ones, and the choice of a version."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from tests.zoo.cli.conftest import document
from tests.zoo.records import built_by, keep, measurement, release
from zoo.cli import main
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.release.local import find_release, read_all, recorded
from zoo.release.versions import newest, order
from zoo.sanitize import parse_json


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Three versions that were built here, and one release that was pulled."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    keep(tmp_path / "home", *(release("tiny", version) for version in ("1.0.0", "1.2.0", "1.10.0", "2.0.0")))
    keep(tmp_path / "away", release("big"))
    shutil.copytree(tmp_path / "away/releases", tmp_path / "home/pulled")
    return Home(tmp_path / "home")


def run(*arguments, code=0):
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def damage_manifest(folder: Path) -> Path:
    (folder / "manifest.json").write_text("{")
    return folder / "manifest.json"


def damage_measurement(folder: Path) -> Path:
    path = min((folder / "measurements").iterdir())
    path.write_text("{")
    return path


DAMAGES = pytest.mark.parametrize("damage", [damage_manifest, damage_measurement])


@DAMAGES
def test_damaged_releases_do_not_affect_list_and_search(home, damage):
    path = damage(home.pulled / "big/1.0.0")
    listed = run("list")
    assert "tiny@1.10.0" in listed.stdout
    assert "big" not in listed.stdout
    (line,) = listed.stderr.splitlines()
    assert line.startswith("damaged: big@1.0.0: the ")
    assert str(path) in line
    assert line.endswith(" Get it again: zoo pull big@1.0.0")

    found = run("search", "map > 1", "--json")
    assert len([row for table in json.loads(found.stdout)["tables"] for row in table["rows"]]) == 4
    assert found.stderr.splitlines() == [line, "4 of 4 match"]

    told = document("list", run("list", "--json").stdout)
    assert [row["model"] for row in told["built"]] == [f"tiny@{v}" for v in ("1.0.0", "1.2.0", "1.10.0", "2.0.0")]
    assert told["damaged"] == {"big@1.0.0": line.removeprefix("damaged: big@1.0.0: ")}
    assert "big" not in told["not_built"]


def test_undamaged_releases_are_not_reported(home):
    assert document("list", run("list", "--json").stdout)["damaged"] == {}
    assert run("list").stderr == ""


@DAMAGES
@pytest.mark.parametrize("command", ["show", "compare", "verify"])
def test_a_damaged_pulled_release_is_fixed_by_pulling_it(home, damage, command):
    path = damage(home.pulled / "big/1.0.0")
    error = run(command, "big", code=1).stderr
    assert error.startswith(f"Error: the {damage.__name__.removeprefix('damage_')} {path} is ")
    assert error.endswith(" Get it again: zoo pull big@1.0.0\n")
    assert ": : " not in error
    assert len(error.splitlines()) == 1
    assert run("compare", "tiny").stdout


@DAMAGES
def test_a_damaged_built_release_is_fixed_as_the_message_says(built, damage):
    folder = (built.home / "releases/tiny/1.0.0").resolve()
    command = json.loads((folder / "manifest.json").read_text())["provenance"]["command"]
    damage(folder)
    error = built.refused("show", "tiny")
    said = re.search(r" Remove (\S+), and build it again: (zoo build tiny .*)$", error)
    assert said, error
    assert Path(said[1]) == folder
    assert said[2] == command  # a damaged manifest does not tell it, but the card does
    assert folder.parent == built.home / "store/record"
    assert built.refused("build", "tiny") == error  # rebuilding alone does not help
    shutil.rmtree(said[1])
    assert built.zoo("list").stderr == ""
    built.build("tiny")
    assert built.zoo("verify", "tiny").exit_code == 0
    assert built.zoo("show", "tiny").exit_code == 0


def kept(home, command, name="mine"):
    """The folder of a release that a command built."""
    keep(home.root, release(name, **built_by(command)))
    return home.releases / name / "1.0.0"


@pytest.mark.parametrize(
    "command",
    [
        "zoo add mine --onnx 'my net.onnx' --data cars",
        "zoo build big --student timm:lcnet_050",
        "zoo build mine --from a@1",
    ],
)
def test_a_damaged_release_is_built_again_by_its_own_command(home, command):
    damage_measurement(kept(home, command))
    with pytest.raises(ManifestError) as caught:
        find_release(home, "mine")
    assert str(caught.value).endswith(f", and build it again: {command}")


def test_a_sound_manifest_is_parsed_once(home, monkeypatch):
    kept(home, "zoo build mine")
    calls = []
    monkeypatch.setattr("zoo.release.reading.parse_json", lambda content: calls.append(content) or parse_json(content))
    monkeypatch.setattr("zoo.release.command.parse_json", calls.append)
    assert find_release(home, "mine").rebuilding.endswith("and build it again: zoo build mine")
    assert len(calls) == 1


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"provenance": {"command": 1}}', '{"provenance": []}'])
def test_without_a_command_anywhere_a_model_of_the_catalogue_is_assumed(home, content):
    folder = kept(home, "zoo add mine --onnx net.onnx")
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ManifestError, match=r"build it again: zoo build mine$"):
        find_release(home, "mine")
    (folder / "README.md").write_text("- seed: 1\n- command: `zoo add mine --onnx net.onnx`\n- created: now\n")
    with pytest.raises(ManifestError, match=r"build it again: zoo add mine --onnx net\.onnx$"):
        find_release(home, "mine")
    (folder / "README.md").write_text("- command: `zoo add mine; rm -rf .`\n")
    with pytest.raises(ManifestError, match=r"build it again: zoo build mine$"):
        find_release(home, "mine")


def test_a_damaged_measurement_of_this_machine_is_repeated(home):
    added = home.measurements / "tiny/2.0.0"
    added.mkdir(parents=True)
    (added / "a.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"Remove it and measure again: zoo bench tiny@2\.0\.0$"):
        find_release(home, "tiny")


def test_a_newer_schema_is_not_reported_as_damage(home):
    manifest = home.releases / "tiny/2.0.0/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))
    with pytest.raises(ManifestError, match=r"Upgrade: pip install -U edge-model-zoo\.$"):
        find_release(home, "tiny")


def test_if_all_releases_are_damaged_search_reports_it(home):
    for folder in home.releases.glob("tiny/*"):
        damage_manifest(folder)
    shutil.rmtree(home.pulled)
    error = run("search", "map > 1", code=1).stderr.splitlines()
    assert len(error) == 5
    assert error[-1].startswith("Error: no other release in ")
    assert run("list").stderr.splitlines() == error[:-1]


def test_other_files_are_ignored(home):
    keep(home.root, release("tiny", "0.1.0"))
    (home.releases / "tiny/0.1.0").rename(home.releases / "tiny/²")
    assert recorded(home)["tiny"] == ["²", "1.0.0", "1.2.0", "1.10.0", "2.0.0"]
    assert find_release(home, "tiny@<2").manifest.version == "1.10.0"
    assert len(read_all(home).releases) == 6


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("tiny", "2.0.0"), ("tiny@", "2.0.0"), ("tiny@*", "2.0.0"), ("tiny@1.2.0", "1.2.0"), ("tiny@^1", "1.10.0"),
     ("tiny@1.0", "1.0.0"), ("tiny@~1.2", "1.2.0"), ("tiny@>=1.1 <1.5", "1.2.0"), ("tiny@1", "1.10.0")],
)  # fmt: skip
def test_versions_and_ranges(home, wanted, version):
    assert find_release(home, wanted).manifest.version == version


def test_commands_take_ranges(home):
    assert json.loads(run("show", "tiny@1.2", "--json").stdout)["manifest"]["version"] == "1.2.0"
    rows = [row for one in json.loads(run("compare", "tiny@^1", "--json").stdout)["tables"] for row in one["rows"]]
    assert {row["model"] for row in rows} == {"tiny@1.10.0"}
    assert "tiny@1.10.0 → tiny@2.0.0" in run("diff", "tiny@^1", "tiny@^2").stdout


def test_measurements_of_the_selected_version_are_read(home):
    keep(home.root / "more", release("tiny", "1.10.0", [measurement(7.0, target="onnxruntime-cpu")]))
    shutil.copytree(home.root / "more/releases/tiny/1.10.0/measurements", home.measurements / "tiny/1.10.0")
    assert {one.target for one in find_release(home, "tiny@^1").measured} == {"openvino-cpu", "onnxruntime-cpu"}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("tiny@^3", r"^no version \^3 of tiny in .* Available: 1.0.0, 1.2.0, 1.10.0, 2.0.0\. .*zoo pull tiny@\^3$"),
        ("tiny@newest", r"^'newest' is not a version\. Write tiny@1\.2\.0, or a range: tiny@\^1\.2\.$"),
        ("tiny@" + "^1" * 500, r"^'(\^1){30}…' is not a version\."),
        ("tiny@^" + "9" * 5000, r"^'\^9{59}…' is not a version\."),
    ],
)
def test_a_missing_version_is_reported(home, wanted, told):
    with pytest.raises(ManifestError, match=told):
        find_release(home, wanted)


@pytest.mark.parametrize(("name", "kind"), [(3, "int"), (None, "NoneType")])
def test_a_name_must_be_text(home, name, kind):
    with pytest.raises(ManifestError, match=f"^a release must be NAME, NAME@VERSION or a folder, not {kind}.$"):
        zoo.load(name)


def test_the_newest_of_a_range():
    versions = ["1.9.0", "1.10.0", "2.0.0", "backup", "1.0"]
    assert newest("tiny", versions, "^1") == "1.10.0"
    assert newest("tiny", versions, "") == "2.0.0"
    assert newest("tiny", versions, ">2") is None
    assert sorted(versions, key=order) == ["backup", "1.0", "1.9.0", "1.10.0", "2.0.0"]
