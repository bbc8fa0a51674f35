"""Published releases are complete and immutable, and a registry only grows; in a folder and in a bucket."""

import os
import time
from typing import Any

import pytest

from pipeline.progress import Silent
from tests.zoo.records import foreign_values
from tests.zoo.registry.samples import files_of, measured, put_release, sha, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.index import INDEX, LIMIT, Blob
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import Published, collect_garbage, differences, publish, read_index, read_listed, yank
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.release.local import find_release


def test_every_file_of_a_release_is_stored_under_its_digest(home, writable):
    release = put_release(home)
    assert publish(release, writable, None, Silent()) == Published(new=True, measurements=1, signed=False)
    listed = read_index(writable).find("tiny", "1.0.0")
    content, manifest = read_listed(writable, "tiny@1.0.0", listed)
    assert content == release.path.read_bytes()
    for file in manifest.files:
        assert sha(writable.read(f"blobs/{file.sha256[:2]}/{file.sha256}", LIMIT)) == file.sha256
    assert len(listed.measurements) == 1


def test_publishing_again_changes_nothing(home, writable):
    release = put_release(home)
    publish(release, writable, None, Silent())
    before = writable.read(INDEX, LIMIT)
    assert publish(release, writable, None, Silent()) == Published(new=False, measurements=0, signed=False)
    assert writable.read(INDEX, LIMIT) == before


def test_other_content_needs_another_version_and_differences_are_listed(home, tmp_path, writable):
    publish(put_release(home), writable, None, Silent())
    before = writable.read(INDEX, LIMIT)
    other = put_release(
        Home(tmp_path / "other"), files=files_of(b"more"), recipe={"seed": 7, "distill": {"compress": {"macs": 0.3}}}
    )
    with pytest.raises(RegistryError) as caught:
        publish(other, writable, None, Silent())
    message = str(caught.value)
    assert "is published" in message
    assert (
        "Raise its version (--set version=…, or `version` of the model in zoo.yaml), and build it again: zoo build tiny"
        ". Differences:"
    ) in message
    assert "graph/model.onnx: other content" in message
    assert "recipe.seed: 0 → 7" in message
    assert "{compress: {macs: 0.3}}" in message
    assert writable.read(INDEX, LIMIT) == before
    newer = put_release(Home(tmp_path / "newer"), version="1.1.0", files=files_of(b"more"))
    assert publish(newer, writable, None, Silent()).new


def test_of_many_differences_the_first_are_listed_with_the_number_of_others(home, tmp_path, folder):
    release = put_release(home)
    publish(release, folder, None, Silent())
    data = release.manifest.data.model_dump() | {"fingerprint": "1" * 64}
    files = {f"graph/{number}.onnx": b"x" for number in range(9)}
    other = put_release(Home(tmp_path / "other"), files=files, data=data)
    lines = [*differences(release.manifest, other.manifest)]
    assert len(lines) == 9 + 5 + 1
    assert {"graph/0.onnx: new", "graph/model.onnx: missing", "data: the data set has other content"} < {*lines}
    with pytest.raises(RegistryError, match=r"\n  … and 7 more$"):
        publish(other, folder, None, Silent())


def test_other_content_is_refused_though_another_publisher_was_faster(home, tmp_path, folder, monkeypatch):
    """It publishes between our first read of the index and our change."""
    faster, original = put_release(Home(tmp_path / "faster"), files=files_of(b"more")), type(folder).publish

    def second(self, *given):
        monkeypatch.undo()
        publish(faster, folder, None, Silent())
        original(self, *given)

    monkeypatch.setattr(type(folder), "publish", second)
    with pytest.raises(RegistryError, match="is published in .* with other content, which can't change"):
        publish(put_release(home), folder, None, Silent())
    assert read_index(folder).revision == 1


def test_a_network_of_others_is_not_looked_for_in_the_catalogue(home, tmp_path, folder):
    """Refused by publish, and by pull where another one was made."""
    publish(put_release(home, **foreign_values()), folder, None, Silent())
    theirs = Home(tmp_path / "theirs")
    other = put_release(theirs, files=files_of(b"more"), **foreign_values())
    way = "Raise its version (--set version=…), and build it again: zoo add big --onnx net.onnx --data cars --license"
    with pytest.raises(RegistryError) as refused:
        publish(other, folder, None, Silent())
    assert way in str(refused.value)
    with pytest.raises(RegistryError) as refused:
        pull(Registry([folder], Cache(theirs.cache)), theirs, "tiny", chooser(None), Silent())
    assert way in str(refused.value)
    assert "zoo.yaml" not in str(refused.value)


def test_the_same_content_built_again_is_the_same_release(home, tmp_path, writable):
    """Dates of the builds differ, their artifacts do not. New measurements are added."""
    publish(put_release(home), writable, None, Silent())
    again = put_release(Home(tmp_path / "again"), records=(measured(3.0),), created_at="2026-02-02T00:00:00+00:00")
    assert publish(again, writable, None, Silent()) == Published(new=False, measurements=1, signed=False)
    listed = read_index(writable).find("tiny", "1.0.0")
    assert len(listed.measurements) == 2
    assert read_listed(writable, "tiny@1.0.0", listed)[1].created_at.startswith("2026-11-01")


def test_a_damaged_file_is_not_published(home, folder):
    release = put_release(home)
    (release.path.parent / "openvino-cpu/model.bin").write_bytes(b"x" * len(b"weights" * 50_000))
    told = r"openvino-cpu/model.bin of tiny@1.0.0 does not match the manifest \(sha256\)\. "
    with pytest.raises(RegistryError, match=told + "Remove record, .*, and build it again: zoo build tiny$"):
        publish(release, folder, None, Silent())
    home.releases.rename(home.pulled)
    with pytest.raises(RegistryError, match=told + r"Get it again: zoo pull tiny@1\.0\.0 --all$"):
        publish(find_release(home, "tiny"), folder, None, Silent())
    assert not folder.root.exists()


def test_a_built_release_without_a_file_is_not_published(home, folder):
    release = put_release(home)
    (release.path.parent / "openvino-cpu/model.bin").unlink()
    told = rf"model.bin of tiny@1.0.0 is not here\. Remove {release.path.parent}, and build it again: zoo build tiny$"
    with pytest.raises(RegistryError, match=told):
        publish(release, folder, None, Silent())


def test_a_partly_pulled_release_can_add_measurements(home, tmp_path, folder):
    """A board pulls its artifacts, measures them, and publishes the figures."""
    publish(put_release(home), folder, None, Silent())
    away = Home(tmp_path / "part")
    put_release(away, records=(measured(3.0),))
    away.releases.rename(away.pulled)
    part = find_release(away, "tiny")
    (part.path.parent / "openvino-cpu/model.bin").unlink()
    assert publish(part, folder, None, Silent()) == Published(new=False, measurements=1, signed=False)
    with pytest.raises(RegistryError, match="since only part was pulled. First run: zoo pull tiny@1.0.0 --all"):
        publish(part, open_place(str(tmp_path / "another")), None, Silent())


def test_blobs_are_shared_between_releases(home, folder):
    publish(put_release(home), folder, None, Silent())
    count = len(tree(folder.root / "blobs"))
    publish(put_release(home, version="1.0.1", records=()), folder, None, Silent())
    assert len(tree(folder.root / "blobs")) == count + 1  # the manifest


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "credentials"),
        ({"AWS_PROFILE": "none"}, "none"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0"),
    ],
    ids=["no credentials", "no such profile", "no server"],
)
def test_an_unreachable_bucket_is_reported(home, tmp_path, monkeypatch, settings, told):
    s3fs = pytest.importorskip("s3fs")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        **settings,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    place, release = open_place("s3://bucket/zoo"), put_release(home)
    for use in (
        lambda: publish(release, place, None, Silent()),
        lambda: read_index(place),
        lambda: place.remove(["blobs/x"]),
        lambda: [*place.listing("blobs")],
    ):
        with pytest.raises(RegistryError, match=f"the registry s3://bucket/zoo can't be used: .*{told}"):
            use()
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_needs_a_name():
    with pytest.raises(RegistryError, match=r"s3:// names no bucket. Write s3://BUCKET/FOLDER"):
        open_place("s3://")


def test_a_folder_that_is_not_a_registry_does_not_become_one(tmp_path):
    with pytest.raises(RegistryError, match="mistyped is not a registry"):
        yank(open_place(str(tmp_path / "mistyped")), "tiny", "1.0.0", "bad crops")
    assert not (tmp_path / "mistyped").exists()


def test_garbage_that_cannot_be_removed_is_reported(folder, home, monkeypatch):
    publish(put_release(home), folder, None, Silent())

    def read_only(_paths):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder, "remove", read_only)
    with pytest.raises(RegistryError, match="can't be used: Permission denied"):
        collect_garbage(folder, dry=False)


def test_the_number_of_measurements_is_limited(folder, home, monkeypatch):
    publish(put_release(home), folder, None, Silent())
    monkeypatch.setattr("zoo.registry.publish.MOST_MEASUREMENTS", 1)
    more = put_release(home, records=(measured(9.0),))
    with pytest.raises(RegistryError, match="has 1 measurements in .*; the limit is 1. Publish further ones"):
        publish(more, folder, None, Silent())


def test_a_yanked_release_keeps_its_reason_and_its_files(home, writable):
    publish(put_release(home), writable, None, Silent())
    yank(writable, "tiny", "1.0.0", "bad crops")
    listed = read_index(writable).find("tiny", "1.0.0")
    assert listed.yanked == "bad crops"
    assert read_listed(writable, "tiny@1.0.0", listed)[1].name == "tiny"
    yank(writable, "tiny", "1.0.0", None)
    assert read_index(writable).find("tiny", "1.0.0").yanked is None
    with pytest.raises(RegistryError, match=r"no release tiny@2.0.0 .* Available versions: 1.0.0"):
        yank(writable, "tiny", "2.0.0", "?")


def test_garbage_is_old_and_unreferenced(home, folder):
    publish(put_release(home), folder, None, Silent())
    kept = tree(folder.root)
    for name, age in (("0" * 64, 25 * 3600), ("1" * 64, 23 * 3600)):
        path = folder.root / "blobs" / name[:2] / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"rest")
        os.utime(path, (time.time() - age,) * 2)
    for path in kept:
        os.utime(folder.root / path, (time.time() - 9 * 86400,) * 2)
    assert collect_garbage(folder, dry=True) == (1, 4)
    assert collect_garbage(folder, dry=False) == (1, 4)
    assert tree(folder.root) == {*kept, f"blobs/11/{'1' * 64}"}


@pytest.mark.parametrize("moment", ["listing", "remove"])
def test_files_published_during_collection_are_kept(home, folder, monkeypatch, moment):
    """A publisher reuses a file that was listed as garbage."""
    publish(put_release(home, "other"), folder, None, Silent())
    index = (folder.root / INDEX).read_bytes()
    release = put_release(home)
    publish(release, folder, None, Silent())
    (folder.root / INDEX).write_bytes(index)  # as if the publisher had been killed, days ago
    for path in tree(folder.root):
        os.utime(folder.root / path, (time.time() - 9 * 86400,) * 2)
    there = list(folder.listing("blobs"))

    def publish_first(given):
        publish(release, open_place(folder.url), None, Silent())
        return there if moment == "listing" else type(folder).remove(folder, given)

    monkeypatch.setattr(folder, moment, publish_first)
    collect_garbage(folder, dry=False)
    listed = read_index(folder).find("tiny", "1.0.0")
    _, manifest = read_listed(folder, "tiny@1.0.0", listed)
    blobs: list[Any] = [*manifest.files, *listed.measurements]
    for blob in blobs:
        assert (folder.root / Blob(sha256=blob.sha256, size_bytes=blob.size_bytes).path).is_file()


def test_files_collected_during_publishing_are_written_again(home, folder, monkeypatch):
    """Between the copy of a file that was garbage and the lock."""
    original = type(folder)._lock

    def collected(self, index):
        for path in tree(self.root / "blobs"):
            (self.root / "blobs" / path).unlink()
        return original(self, index)

    monkeypatch.setattr(type(folder), "_lock", collected)
    release = put_release(home)
    publish(release, folder, None, Silent())
    there = {path.rpartition("/")[2] for path in tree(folder.root / "blobs")}
    assert {file.sha256 for file in release.manifest.files} < there


def test_no_garbage_is_collected_where_a_manifest_is_damaged(home, folder):
    publish(put_release(home), folder, None, Silent())
    listed = read_index(folder).find("tiny", "1.0.0")
    (folder.root / listed.manifest.path).write_bytes(b"{}")
    before = tree(folder.root)
    with pytest.raises(RegistryError, match="missing or damaged"):
        collect_garbage(folder, dry=False)
    assert tree(folder.root) == before


def test_nothing_is_garbage_where_there_is_no_index(home, folder):
    publish(put_release(home), folder, None, Silent())
    (folder.root / INDEX).unlink()
    before = tree(folder.root)
    with pytest.raises(RegistryError, match="is not a registry: it has no index.json"):
        collect_garbage(folder, dry=False)
    assert tree(folder.root) == before


def test_http_is_read_only(home, serve, tmp_path):
    place = open_place(serve(tmp_path))
    with pytest.raises(RegistryError, match="is read only"):
        publish(put_release(home), place, None, Silent())


@pytest.mark.parametrize("url", ["ftp://host/x", "gopher://x"])
def test_unknown_kinds_of_places_are_refused(url):
    with pytest.raises(RegistryError, match="is not supported for registries"):
        open_place(url)


def test_a_file_in_place_of_a_registry_is_reported(home, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match="can't be used: Not a directory"):
        publish(put_release(home), open_place(str(tmp_path / "file")), None, Silent())
