"""A registry in a repository of the Hugging Face Hub: the real library against a fake of the Hub's API."""

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from pipeline.progress import Silent
from tests.zoo.registry import hub_server
from tests.zoo.registry.hub_registry import (
    BIG,
    NAME,
    URL,
    asked,
    check,
    hub,
    old_garbage,
    place,
    pulled,
    server,
    shop,
)
from tests.zoo.registry.hub_server import File, Repository
from tests.zoo.registry.samples import files_of, put_release, sha
from tests.zoo.registry.test_together import COUNT, check_whole, publisher
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.download import CHUNK
from zoo.registry.index import INDEX, LIMIT
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import collect_garbage, publish, read_index, yank
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.release.local import find_release

__all__ = ["hub", "old_garbage", "place", "server", "shop"]


def zoo(home, *arguments, **settings):
    """Run in another process, which shares only the environment."""
    environment = {**os.environ, "ZOO_HOME": str(home), "ZOO_REGISTRY": URL, **settings}
    command = [sys.executable, "-m", "zoo", *arguments]
    return subprocess.run(command, env=environment, cwd=home.parent, capture_output=True, text=True, timeout=100)


def test_published_by_one_process_pulled_by_another_and_verified_by_a_third(hub, tmp_path, monkeypatch):
    """Large files go to LFS, the others into the single commit; readers need no token."""
    files = {**files_of(), "openvino-cpu/weights.bin": BIG}
    put_release(Home(tmp_path / "here"), files=files)

    here, away = tmp_path / "here", tmp_path / "away"
    published = zoo(here, "publish", "tiny")
    assert f"published: tiny@1.0.0 in {URL}, 1 measurements" in published.stdout, published.stderr
    assert [one.title for one in hub.repositories[NAME].commits[2:]] == ["zoo publish"]
    assert list(hub.large.values()) == [BIG]
    monkeypatch.delenv("HF_TOKEN")
    release = zoo(away, "pull", "tiny", "--all")
    assert release.returncode == 0, release.stderr
    check(find_release(Home(away), "tiny"), files)


@pytest.mark.parametrize("url", [URL, f"{URL}/zoo"])
def test_existing_files_are_not_uploaded_again(hub, home, url):
    files, place = {**files_of(), "openvino-cpu/weights.bin": BIG}, open_place(url)
    publish(put_release(home, files=files), place, None, Silent())
    before = hub.repositories[NAME].newest
    hub.asked.clear()
    publish(put_release(home, version="1.0.1", files=files), place, None, Silent())
    after = hub.repositories[NAME].newest
    assert len({path for path, by in after.changed.items() if by is after}) == 3  # index, manifest, measurement
    assert len(after.files) == len(before.files) + 2
    assert asked(hub, "POST", "/lfs/") == asked(hub, "PUT", "/") == []


def test_a_release_of_many_files_is_one_commit(hub, place, tmp_path):
    """The Hub returns at most a thousand paths per request."""
    blobs = {}
    for number in range(1100):
        (tmp_path / str(number)).write_text(str(number))
        blobs[f"blobs/{number % 100:02}/{number}"] = tmp_path / str(number)
    place.publish(blobs, INDEX, LIMIT, lambda _: b"{}")
    assert hub.repositories[NAME].newest.files.keys() == {".gitattributes", INDEX, *blobs}
    assert len(hub.repositories[NAME].commits) == 3


def test_two_processes_lose_no_release(place):
    running = [publisher(URL, name, 0, COUNT) for name in ("one", "two")]
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    index = check_whole(place)
    assert {name: len(versions) for name, versions in index.releases.items()} == {"one": COUNT, "two": COUNT}
    assert index.revision == 2 * COUNT


def test_a_writer_that_lost_the_race_repeats_its_change_on_the_new_content(hub, home, place):
    other = put_release(home, "other", files=files_of(b"other"))
    hub.before_commit.append(lambda: publish(other, open_place(URL), None, Silent()))
    assert publish(put_release(home), place, None, Silent()).new
    assert hub.answered.count(412) == 1
    assert check_whole(place).releases.keys() == {"tiny", "other"}


def test_a_writer_that_always_loses_the_race_gets_an_error(hub, home, place, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.hub.ATTEMPTS", 2)
    hub.before_commit += [lambda: hub.repositories[NAME].commit("another", {})] * 2
    with pytest.raises(RegistryError, match=r"other writers of hf://\S+ were faster 2 times. Run the command"):
        publish(put_release(home), place, None, Silent())
    assert INDEX not in hub.repositories[NAME].newest.files


def test_a_yanked_release_is_hidden_and_shown_again(home, place):
    for version in ("1.0.0", "1.1.0"):
        publish(put_release(home, version=version, files=files_of(version.encode())), place, None, Silent())
    yank(place, "tiny", "1.1.0", "bad crops")
    assert read_index(place).find("tiny", "1.1.0").yanked == "bad crops"
    assert pulled(home).manifest.version == "1.0.0"
    yank(place, "tiny", "1.1.0", None)
    assert pulled(home).manifest.version == "1.1.0"


def test_a_reader_sees_newly_published_releases(home, place, tmp_path):
    """Also in folders that it has listed before."""
    reader, another = open_place(URL), Home(tmp_path / "another")
    for version in ("1.0.0", "1.1.0"):
        files = {f"graph/{number}.onnx": f"{version} {number}".encode() for number in range(20)}
        publish(put_release(home, version=version, files=files), place, None, Silent())
        release = pull(Registry([reader], Cache(another.cache)), another, "tiny", chooser(None), Silent())
        assert release.manifest.version == version
        check(release, files)


def test_garbage_is_old_and_unreferenced(hub, place, old_garbage, monkeypatch):
    monkeypatch.setattr(hub_server, "EXPANDED_PAGE", 3)  # so that the list comes in parts
    young = f"blobs/22/{'2' * 64}"
    before = hub.repositories[NAME].commit("young", {young: File(b"rest", large=False)})
    assert collect_garbage(place, dry=True) == (2, 8)
    assert hub.repositories[NAME].newest is before
    assert collect_garbage(place, dry=False) == (2, 8)
    assert hub.repositories[NAME].newest.files.keys() == before.files.keys() - old_garbage
    assert collect_garbage(place, dry=False) == (0, 0)
    check_whole(place)


@pytest.mark.parametrize("moment", ["listing", "removing"])
def test_files_referenced_in_the_meantime_are_not_removed(hub, home, place, old_garbage, monkeypatch, moment):
    """A publisher reuses a file, without uploading it, while it is being collected as garbage."""
    blob = f"blobs/{sha(b'rest')[:2]}/{sha(b'rest')}"
    hub.repositories[NAME].commit("loose", {blob: File(b"rest", large=False)}, at=datetime(2026, 1, 1))
    release = put_release(home, version="1.1.0", files={"graph/model.onnx": b"rest"})
    listing, after_listing = place.listing, []
    moment = {"listing": after_listing, "removing": hub.before_commit}[moment]
    moment.append(lambda: publish(release, open_place(URL), None, Silent()))

    def listed(below):
        yield from listing(below)
        if after_listing:
            after_listing.pop()()

    monkeypatch.setattr(place, "listing", listed)
    with pytest.raises(RegistryError, match=r"was faster.* Run the command again"):
        collect_garbage(place, dry=False)
    check_whole(place)
    assert collect_garbage(place, dry=False) == (2, 8)
    check_whole(place)


def test_no_byte_is_downloaded_twice(hub, home, place, tmp_path):
    files = {"graph/model.onnx": b"graph", "openvino-cpu/weights.bin": BIG}
    publish(put_release(home, files=files), place, None, Silent())
    hub.sent_bytes = 0
    check(pulled(Home(tmp_path / "another")), files)
    assert hub.sent_bytes < len(BIG) + 100_000


def test_an_interrupted_pull_resumes(hub, home, place, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.registry.places.patience.ATTEMPTS", 1)
    publish(put_release(home, files={"openvino-cpu/weights.bin": BIG}), place, None, Silent())
    first, second = f"bytes=0-{CHUNK - 1}", f"bytes={CHUNK}-{2 * CHUNK - 1}"
    last = f"bytes={2 * CHUNK}-{len(BIG) - 1}"
    another, hub.cut = Home(tmp_path / "another"), {second}
    with pytest.raises(RegistryError, match="Run the command again to resume") as caught:
        pulled(another)
    assert "\n" not in str(caught.value)
    assert not another.pulled.exists()
    check(pulled(another), {"openvino-cpu/weights.bin": BIG})
    assert [part for _, path, part in hub.asked if path == f"/cdn/{sha(BIG)}" and part] == [first, second, second, last]


@pytest.mark.parametrize("url", ["hf://team/nets", "hf://datasets/team/nets/zoo/of/ours", "hf://team/nets/zoo"])
def test_a_model_repository_or_a_folder_in_one_is_accepted(hub, home, tmp_path, url):
    repository = hub.repositories["models/team/nets"] = Repository()
    repository = hub.repositories[NAME] if "datasets" in url else repository
    before = {*repository.newest.files, "README.md"}
    repository.commit("a card", {"README.md": File(b"# Nets", large=False)})
    hub.committed_at = datetime.now(timezone.utc) - timedelta(days=9)
    place = open_place(url)
    publish(put_release(home), place, None, Silent())
    check(pulled(Home(tmp_path / "another"), url), files_of())
    folder = url.partition("nets")[2].strip("/")
    new = repository.newest.files.keys() - before
    assert len(new) > 5
    assert all(path.startswith(f"{folder}/" if folder else "") for path in new)
    assert collect_garbage(place, dry=False) == (0, 0)
