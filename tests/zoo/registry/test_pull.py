"""Pulled releases are complete and verified before they are visible: which version, which files, and repairs."""

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.pulling import EVERYTHING, another, check, published, pulled, reader
from tests.zoo.registry.samples import files_of, measured, put_release, tree
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.choice import chooser
from zoo.registry.index import Index
from zoo.registry.publish import publish, yank
from zoo.registry.pull import pull
from zoo.registry.resolution import resolve
from zoo.registry.verify import missing

__all__ = ["another", "published"]


def test_every_file_comes_with_its_measurements(home, writable, another):
    release = put_release(home, records=(measured(), measured(9.0)))
    publish(release, writable, None, Silent())
    got = pulled(another, writable.url)
    check(got)
    assert got.manifest == release.manifest
    assert {one.latency[0].p50_ms for one in got.measured} == {5.0, 9.0}


def test_over_http(published, serve, another):
    check(pulled(another, serve(published.root)), files_of(b"2.0.0"))


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("tiny", "2.0.0"), ("tiny@1.0.0", "1.0.0"), ("tiny@^1.0", "1.1.0"), ("tiny@1", "1.1.0"), ("tiny@<1.1", "1.0.0")],
)
def test_versions_and_ranges(published, another, wanted, version):
    assert pulled(another, published.url, wanted).manifest.version == version


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("tinny", "no release 'tinny' in .* Did you mean 'tiny'\\? Or name another registry: --registry URL"),
        ("tiny@3", "no version 3 of tiny in .* Available: 1.0.0, 1.1.0, 2.0.0"),
        ("tiny@newest", "'newest' is not a version. Write tiny@1.2.0, or a range"),
    ],
)
def test_unknown_releases_are_reported(published, another, wanted, told):
    with pytest.raises(RegistryError, match=told):
        pulled(another, published.url, wanted)
    assert not another.pulled.exists()


def test_an_empty_registry_says_what_to_do():
    with pytest.raises(RegistryError, match="no release 'tiny' in there. It is empty: publish a release there"):
        resolve(Index(), "tiny", "there")


def test_a_yanked_version_needs_its_exact_name(published, another):
    yank(published, "tiny", "2.0.0", "bad crops")
    assert pulled(another, published.url).manifest.version == "1.1.0"
    told = []
    progress = type("Told", (Silent,), {"say": lambda _, text: told.append(text)})()
    assert pull(reader(another, published.url), another, "tiny@2.0.0", EVERYTHING, progress).manifest.version == "2.0.0"
    assert "tiny@2.0.0 is yanked: bad crops" in told


def test_one_target_comes_with_the_graph_and_without_the_others(published, another):
    release = pulled(another, published.url, choose=chooser(["onnxruntime-cpu"]))
    assert {path for path in tree(release.path.parent) if "measurements" not in path} == {
        "manifest.json", "graph/model.onnx", "onnxruntime-cpu/model.onnx",
    }  # fmt: skip
    assert missing(release) == ["network/network.safetensors", "openvino-cpu/model.xml", "openvino-cpu/model.bin"]
    both = pulled(another, published.url, choose=chooser(["openvino-cpu"]))
    assert missing(both) == ["network/network.safetensors"]  # pulled files stay


def test_a_target_of_the_release_needs_no_catalogue_and_others_go_by_their_own_name(published, another):
    def own_name(target):
        return {"ov": "openvino-cpu"}[target]

    release = pulled(another, published.url, choose=chooser(["onnxruntime-cpu", "ov"], own_name))
    assert missing(release) == ["network/network.safetensors"]
    with pytest.raises(KeyError):
        pulled(another, published.url, choose=chooser(["nothing"], own_name))


def test_damaged_files_in_the_cache_are_downloaded_again(published, another, tmp_path):
    """Small files by their digests, others by their sizes."""
    home = Home(tmp_path / "damaged")
    pulled(another, published.url)
    for path in tree(another.cache / "blobs"):
        content = (another.cache / "blobs" / path).read_bytes()
        fresh = home.cache / "blobs" / path
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content[1:] if len(content) > 200_000 else content)
        if content.startswith(b"{"):
            fresh.write_bytes(b"[" + content[1:])
    check(pulled(home, published.url), files_of(b"2.0.0"))


@pytest.mark.parametrize("damage", ["changed", "shorter", "gone", "with its manifest"])
def test_damaged_files_of_a_release_are_fixed_by_pulling_again(published, another, damage):
    release = pulled(another, published.url)
    file = release.path.parent / "openvino-cpu/model.bin"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:  # in place, and so in the cache, too, since they are hard links
        with file.open("r+b") as open_file:
            open_file.write(b"x")
            open_file.truncate(len(content) - (damage == "shorter"))
    if damage == "with its manifest":
        release.path.write_bytes(release.path.read_bytes()[:-1] + b" ")
    again = pulled(another, published.url)
    check(again, files_of(b"2.0.0"))
    assert again.path.read_bytes().endswith(b"}")


def test_a_measurement_that_was_added_comes_with_the_next_pull(home, folder, another):
    publish(put_release(home), folder, None, Silent())
    assert len(pulled(another, folder.url).measured) == 1
    publish(put_release(home, records=(measured(9.0),)), folder, None, Silent())
    assert {one.latency[0].p50_ms for one in pulled(another, folder.url).measured} == {5.0, 9.0}


def test_a_full_disk_is_reported_before_downloading(published, another, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(RegistryError, match="MB free. Free some"):
        pulled(another, published.url)


def test_an_unwritable_cache_is_reported(published, another, monkeypatch):
    another.root.mkdir()
    another.cache.write_text("a file")
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    with pytest.raises(RegistryError, match="can't write below .*set ZOO_HOME to a writable folder"):
        pulled(another, published.url)
    assert pauses == [], "nothing is tried again"
