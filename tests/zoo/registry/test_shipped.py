"""The releases that come with zoo: the default of commands that read, and never changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.registry.pulling import EVERYTHING, check
from tests.zoo.registry.samples import files_of, put_release, tree
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.errors import NoRegistry, RegistryError
from zoo.home import Home, shipped_catalogue, shipped_releases
from zoo.registry.listing import offered, shipped_registry
from zoo.registry.opening import open_registry, registry_url
from zoo.registry.places.folder import Folder
from zoo.registry.places.shipped import NAME, URL
from zoo.registry.publish import find_index, publish
from zoo.registry.pull import pull
from zoo.registry.reader import LARGEST
from zoo.release.local import find_release

TOP = Path(__file__).parents[3]


def state(root):
    """Everything about a folder's files."""
    return {path: ((root / path).read_bytes(), (root / path).stat().st_mtime_ns) for path in tree(root)}


@pytest.fixture
def prebuilt(home, tmp_path, monkeypatch):
    """A registry that comes with zoo: two versions of `tiny`, and `other`."""
    root = tmp_path / "came" / "prebuilt"
    for version in ("1.0.0", "1.1.0"):
        publish(put_release(home, version=version, files=files_of(version.encode())), Folder(root), None, Silent())
    publish(put_release(home, "other"), Folder(root), None, Silent())
    (root / "index.json.lock").unlink()
    monkeypatch.setenv("ZOO_PREBUILT", str(root))
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    return root


@pytest.fixture
def empty(tmp_path):
    """A user's folder: an empty catalogue, an empty home."""
    shop = Workshop(tmp_path / "user")
    shop.root.mkdir()
    shop.catalogue.write_text("{}\n")
    return shop


def get(home, wanted="tiny"):
    return pull(shipped_registry(home), home, wanted, EVERYTHING, Silent())


def test_option_variable_and_catalogue_take_precedence(prebuilt, home, monkeypatch):
    def urls(settings, url=None):
        return [place.url for place in open_registry(settings, home, url, False).places]

    assert urls(RegistrySettings()) == [NAME]
    named = RegistrySettings(url="/yaml", mirrors=("/mirror",))
    assert urls(named) == ["/yaml", "/mirror"]
    monkeypatch.setenv("ZOO_REGISTRY", "/variable")
    assert urls(named) == ["/variable"]
    assert urls(named, "/option") == ["/option"]
    assert urls(named, URL) == [NAME]


def test_a_pull_changes_nothing_where_zoo_is_installed(prebuilt, empty):
    """So an installation may be read-only."""
    before = state(prebuilt)
    assert empty.zoo("pull", "tiny@^1.0", "--all").exit_code == 0
    assert empty.zoo("verify", "tiny").exit_code == 0
    assert state(prebuilt) == before
    check(find_release(Home(empty.home), "tiny"), files_of(b"1.1.0"))


@pytest.mark.parametrize("words", ["publish mine", "yank tiny@1.0.0 --reason x", "gc"])
def test_what_writes_needs_a_registry_of_the_user(prebuilt, empty, words):
    put_release(Home(empty.home), "mine")
    before = state(prebuilt)
    assert empty.refused(*words.split()).startswith("no registry is configured. Name one with --registry")
    told = empty.refused(*words.split(), "--registry", URL)
    assert told == f"{NAME} can't be changed. Name another registry: --registry URL"
    assert state(prebuilt) == before
    with pytest.raises(NoRegistry):
        registry_url(RegistrySettings(), None)


def blob(root, of):
    """The file of an artifact, of the manifest, of a measurement, or the index."""
    listed = find_index(Folder(root)).find("tiny", "1.1.0")
    if of == "index":
        return root / "index.json"
    if of == "manifest":
        return root / listed.manifest.path
    if of == "measurement":
        return root / listed.measurements[0].path
    return next(path for path in (root / "blobs").rglob("*") if path.is_file() and path.read_bytes() == b"1.1.0" * 3)


@pytest.mark.parametrize("harm", ["changed", "truncated", "emptied", "longer"])
@pytest.mark.parametrize("of", ["manifest", "measurement", "artifact"])
def test_a_damaged_file_is_named_with_both_digests_and_the_remedy(prebuilt, empty, of, harm):
    file = blob(prebuilt, of)
    content = file.read_bytes()
    harmed = {"changed": b"x" + content[1:], "truncated": content[:-1], "emptied": b"", "longer": content + b"\n"}
    file.write_bytes(harmed[harm])
    (prebuilt.parent / ".git").mkdir()
    told = empty.refused("pull", "tiny", "--all")
    assert told.startswith(f"{file} is damaged: its sha256 is ")
    assert f", not {file.name}. Restore it, or unset ZOO_PREBUILT." in told
    assert len(told.splitlines()) == 1
    assert not (empty.home / "pulled").exists()
    file.write_bytes(content)
    assert empty.zoo("pull", "tiny", "--all").exit_code == 0


@pytest.mark.parametrize("git", [True, False])
def test_the_remedy_is_that_of_a_checkout_or_of_an_installation(prebuilt, empty, monkeypatch, git):
    monkeypatch.delenv("ZOO_PREBUILT")
    monkeypatch.setattr("zoo.registry.places.shipped.shipped_releases", lambda: prebuilt)
    monkeypatch.setattr("zoo.registry.shipped.shipped_releases", lambda: prebuilt)
    if git:
        (prebuilt.parent / ".git").mkdir()
    file = blob(prebuilt, "artifact")
    file.unlink()
    told = empty.refused("pull", "tiny", "--all")
    restore = f"Restore it: git -C {prebuilt.parent} checkout -- prebuilt/{file.relative_to(prebuilt)}"
    mend = restore if git else "Install the same version of zoo again, with pip's --force-reinstall."
    assert told == f"{file} is missing. {mend}"


@pytest.mark.parametrize("content", ["", "{", "version https://git-lfs.github.com/spec/v1\n", '{"releases": 3}'])
def test_a_damaged_index_is_named(prebuilt, empty, content):
    blob(prebuilt, "index").write_text(content)
    told = empty.refused("pull", "tiny")
    assert told.startswith(f"{prebuilt / 'index.json'} is damaged: ")
    assert told.endswith("Restore it, or unset ZOO_PREBUILT.")
    listed = empty.zoo("list")
    assert listed.exit_code == 0, "what is here and what can be built is listed all the same"
    assert f"damaged: {NAME}: {prebuilt / 'index.json'} is damaged" in listed.stderr


@pytest.mark.parametrize("gone", ["folder", "index"])
def test_an_installation_without_releases_says_so(prebuilt, empty, gone):
    if gone == "folder":
        shutil.rmtree(prebuilt)
    else:
        (prebuilt / "index.json").unlink()
    told = empty.refused("pull", "tiny")
    assert told == (
        f"{NAME} are not here: {prebuilt / 'index.json'} is missing. Restore it, or unset ZOO_PREBUILT. Or name a "
        "registry: --registry URL"
    )
    assert empty.zoo("list").exit_code == 0
    assert "to pull" not in empty.zoo("list").output


def test_another_version_of_zoo_may_have_an_older_index_and_other_releases(prebuilt, home, tmp_path, monkeypatch):
    """After an upgrade, a downgrade, or in another commit."""
    user = Home(tmp_path / "user")
    get(user)
    older = tmp_path / "older"
    publish(put_release(Home(tmp_path / "maker"), files=files_of(b"rebuilt")), Folder(older), None, Silent())
    monkeypatch.setenv("ZOO_PREBUILT", str(older))
    check(get(user, "tiny@1.0.0"), files_of(b"rebuilt"))
    assert not (user.cache / "indexes").exists()


def test_lists_and_tables_show_them_and_write_nothing(prebuilt, empty):
    listed = empty.zoo("list", "--json")
    told = json.loads(listed.stdout)
    assert [row["model"] for row in told["to_pull"]] == ["other@1.0.0", "tiny@1.0.0", "tiny@1.1.0"]
    assert (told["registry"], told["built"]) == (URL, [])
    assert "releases that come with zoo, to pull: zoo pull NAME" in empty.zoo("list").stdout
    assert "tiny@1.1.0" in empty.zoo("show", "tiny", "--json").stdout
    assert "its files are not here. Get them: zoo pull tiny@1.1.0" in empty.zoo("show", "tiny").stderr
    compared = json.loads(empty.zoo("compare", "tiny@1.0.0", "other", "--json").stdout)
    assert {row["model"] for table in compared["tables"] for row in table["rows"]} == {"tiny@1.0.0", "other@1.0.0"}
    assert "3 of 3 match" in empty.zoo("search", "map > 1", "--all-precisions").stderr
    assert not empty.home.exists()


def test_a_version_that_is_not_here_is_shown_though_another_one_is(prebuilt, empty):
    """`zoo.load` of the same name pulls it."""
    empty.zoo("pull", "tiny@1.0.0")
    assert '"version": "1.1.0"' in empty.zoo("show", "tiny@1.1.0", "--json").stdout
    assert '"version": "1.1.0"' in empty.zoo("show", "tiny@^1.1", "--json").stdout
    assert '"version": "1.0.0"' in empty.zoo("show", "tiny", "--json").stdout, "what is here comes first"
    assert empty.zoo("compare", "tiny@1.0.0", "tiny@1.1.0").exit_code == 0
    (empty.home / "pulled/tiny/1.0.0/manifest.json").unlink()
    (empty.home / "pulled/tiny/1.0.0/manifest.json").write_text("{")
    assert "damaged" in empty.refused("show", "tiny@1.0.0"), "it does not hide what is wrong here"
    assert "no version ^3 of tiny" in empty.refused("show", "tiny@^3")


def test_what_is_here_is_listed_once(prebuilt, empty):
    empty.zoo("pull", "tiny")
    told = json.loads(empty.zoo("list", "--json").stdout)
    assert [row["model"] for row in told["built"]] == ["tiny@1.1.0"]
    assert [row["model"] for row in told["to_pull"]] == ["other@1.0.0", "tiny@1.0.0"]
    assert "3 of 3 match" in empty.zoo("search", "map > 1", "--all-precisions").stderr


@pytest.mark.parametrize("words", [["--registry"], ["--registry", URL]])
def test_a_registry_can_be_listed_searched_and_compared(prebuilt, empty, folder, home, words):
    assert "other@1.0.0" in empty.zoo("list", *words).stdout
    empty.zoo("pull", "tiny")
    told = json.loads(empty.zoo("list", "--json", *words).stdout)
    assert [row["model"] for row in told["to_pull"]] == ["other@1.0.0", "tiny@1.0.0", "tiny@1.1.0"]
    assert "3 of 3 match" in empty.zoo("search", "map > 1", "--all-precisions", *words).stderr
    publish(put_release(home, "mine"), folder, None, Silent())
    own = json.loads(empty.zoo("list", "--json", "--registry", folder.url).stdout)
    assert ([row["model"] for row in own["to_pull"]], own["registry"]) == (["mine@1.0.0"], folder.url)
    assert "mine@1.0.0" in empty.zoo("compare", "mine", "--registry", folder.url, "--format", "csv").stdout
    assert "no release 'tiny' in" in empty.refused("compare", "tiny", "--registry", folder.url)
    assert f"{folder.root}/none is not a registry" in empty.refused("list", "--registry", f"{folder.root}/none")


def test_a_registry_without_the_release_says_that_it_comes_with_zoo(prebuilt, empty, folder, home):
    publish(put_release(home, "mine"), folder, None, Silent())
    told = empty.refused("pull", "tiny", "--registry", folder.url)
    assert told.endswith(f"tiny@1.1.0 comes with zoo: zoo pull tiny --registry {URL}")
    assert "comes with zoo" not in empty.refused("pull", "none", "--registry", folder.url)


def test_required_signatures_refuse_them(prebuilt, empty):
    """They are not signed."""
    (empty.root / "key.pub").write_text("not read: there is no signature")
    empty.catalogue.write_text("registry: {keys: [key.pub], require_signature: true}\n")
    assert "tiny@1.1.0 is not signed" in empty.refused("pull", "tiny")
    assert not (empty.home / "pulled").exists()


def test_a_release_of_another_registry_is_verified_without_them(prebuilt, empty, folder, home):
    publish(put_release(home, "mine"), folder, None, Silent())
    empty.zoo("pull", "mine", "--registry", folder.url)
    done = empty.zoo("verify", "mine")
    assert done.exit_code == 0
    assert f"signature not verified: mine@1.0.0 is not one of {NAME}" in done.stderr


def test_a_build_takes_the_place_of_a_release_that_comes_with_zoo(built, tmp_path, monkeypatch):
    """Even with another recipe and other content. One from another registry stays (tests/zoo/test_build_name.py)."""
    home, root = Home(built.home), tmp_path / "prebuilt"
    publish(put_release(Home(tmp_path / "maker"), description="as it comes"), Folder(root), None, Silent())
    monkeypatch.setenv("ZOO_PREBUILT", str(root))
    shutil.rmtree(home.releases)
    assert get(home).path.is_relative_to(home.pulled)
    assert "as it comes with zoo, was pulled here; from now on the name means this build" in built.build("tiny").output
    assert find_release(home, "tiny").path.is_relative_to(home.releases)
    assert not (home.pulled / "tiny/1.0.0").exists()
    assert "was built here with other content" in built.refused("pull", "tiny")


FULL_DISK = """
import shutil, subprocess, sys
from pathlib import Path
from click.testing import CliRunner
from zoo.cli import main

disk = Path.cwd()

def pull():
    done = CliRunner().invoke(main, ["pull", "tiny", "--all"])
    named = [*(disk / "home").glob("pulled/*/*"), *(disk / "home").glob("cache/releases/*")]
    print(done.exit_code, bool(named), done.stderr.splitlines()[-1:], sep=" | ")

pull()
usage, shutil.disk_usage = shutil.disk_usage, lambda _: shutil._ntuple_diskusage(10**9, 0, 10**9)
pull()
shutil.disk_usage = usage
subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
pull()
print(CliRunner().invoke(main, ["verify", "tiny"]).output)
"""


def test_a_full_disk_leaves_nothing_under_a_name(prebuilt, tmp_path):
    """A real one: a file system in memory, smaller than the release. It is noticed before the pull, and, if others fill
    the disk afterwards, during it.
    """
    if not shutil.which("unshare") or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "full.py").write_text(FULL_DISK)
    script = f"mount -t tmpfs -o size=200k tmpfs {disk} && cd {disk} && {sys.executable} {tmp_path}/full.py"
    environment = {**os.environ, "ZOO_HOME": f"{disk}/home", "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, during, after, verified = done.stdout.splitlines()[:4]
    assert before.startswith("1 | False | ")
    assert "tiny@1.1.0 needs" in before
    assert "Free some space" in before
    assert during.startswith("1 | False | ")
    assert "can't write" in during
    assert "No space left on device. Free some space" in during
    assert after.startswith("0 | True | ")
    assert "0 damaged" in verified


def test_a_read_only_installation_is_enough(prebuilt, tmp_path):
    """On a file system that is mounted read only."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    script = (
        f"mount --bind {prebuilt} {prebuilt} && mount -o remount,bind,ro {prebuilt} && ! touch {prebuilt}/x && "
        f"{sys.executable} -m zoo pull tiny --all --json && {sys.executable} -m zoo verify tiny"
    )
    environment = {**os.environ, "ZOO_HOME": str(tmp_path / "user"), "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0 damaged" in done.stdout


def test_processes_that_pull_at_once_all_get_it(prebuilt, tmp_path):
    environment = {**os.environ, "ZOO_HOME": str(tmp_path / "shared"), "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-m", "zoo", "pull", "tiny", "--all"]
    running = [subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, cwd=tmp_path) for _ in range(2)]
    assert [one.wait(60) for one in running] == [0, 0], [one.communicate() for one in running]
    check(find_release(Home(tmp_path / "shared"), "tiny"), files_of(b"1.1.0"))
    assert tree(tmp_path / "shared/cache/parts") == set()


def test_they_are_beside_the_catalogue(monkeypatch):
    monkeypatch.delenv("ZOO_PREBUILT")
    assert shipped_releases() == shipped_catalogue().parent / "prebuilt"


def test_one_damaged_release_does_not_hide_the_others(prebuilt, home):
    blob(prebuilt, "manifest").write_text("{}")
    found = offered(shipped_registry(home), lambda _: None)
    assert [release.manifest.label for release in found.releases] == ["other@1.0.0", "tiny@1.0.0"]
    assert [*found.damaged] == ["tiny@1.1.0"]
    assert LARGEST > 60e6
    with pytest.raises(RegistryError, match="is damaged: its sha256"):
        get(home)
