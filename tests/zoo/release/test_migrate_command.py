"""`zoo migrate` and other commands on releases of mixed schemas."""

from pathlib import Path

import pytest

from tests.zoo.cli.conftest import document
from tests.zoo.release.older_releases import LAST, contents, home, key, mixed, put, run
from zoo.layout import SCHEMA
from zoo.release.local import find_release
from zoo.release.rewrite import rewrite_all

__all__ = ["home", "key", "mixed"]


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


def test_a_registry_says_which_schemas_it_holds_and_is_not_written(mixed):
    before = contents(Path(mixed.url))
    told = run("migrate", "--registry", mixed.url)
    assert "tiny@1.0.0: schema 2, kept as published; every command reads it" in told.stdout
    assert "new@1.0.0: schema 3, current" in told.stdout
    about = document("migrate", run("migrate", "--registry", mixed.url, "--json").stdout)
    assert {one["release"]: one["schema"] for one in about["releases"]} == {"tiny@1.0.0": 2, "new@1.0.0": 3}
    assert contents(Path(mixed.url)) == before


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
