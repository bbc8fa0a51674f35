"""One name stands for one content: built and pulled releases never hide each other."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.pulling import check, pulled
from tests.zoo.registry.samples import files_of, put_release
from zoo.errors import ManifestError, RegistryError
from zoo.home import Home
from zoo.registry.choice import chooser
from zoo.registry.publish import publish
from zoo.release.local import find_release, read_all


@pytest.fixture
def ours(tmp_path):
    return Home(tmp_path / "ours")


def both(home, tmp_path, content=b"other"):
    """A release that was built, and one that was pulled, of the same name and version."""
    put_release(home)
    away = Home(tmp_path / "away")
    put_release(away, files=files_of(content))
    shutil.copytree(away.releases, home.pulled)


def test_a_pull_that_differs_from_a_built_release_is_refused_before_downloading(home, folder, ours):
    publish(put_release(home), folder, None, Silent())
    built = put_release(ours, files=files_of(b"other"))
    with pytest.raises(RegistryError) as caught:
        pulled(ours, folder.url)
    told = str(caught.value)
    assert told.startswith(f"tiny@1.0.0 was built here with other content than in {folder.url}")
    assert f"Remove {built.path.parent} to get the published one" in told
    assert "graph/model.onnx: other content" in told
    assert len(told.splitlines()) == 1
    assert not ours.pulled.exists()


def test_a_pull_that_equals_a_built_release_succeeds(home, folder, ours):
    publish(put_release(home), folder, None, Silent())
    put_release(ours)
    check(pulled(ours, folder.url))
    assert find_release(ours, "tiny").path.is_relative_to(ours.releases)


def test_two_releases_of_one_name_are_refused_everywhere(home, tmp_path):
    both(home, tmp_path)
    put_release(home, version="0.9.0")
    told = (
        f"tiny@1.0.0 is here twice with different content: built in {home.releases}/tiny/1.0.0, pulled in {home.pulled}"
    )
    for name in ("tiny", "tiny@1.0.0", "tiny@^1"):
        with pytest.raises(ManifestError) as caught:
            find_release(home, name)
        assert str(caught.value).startswith(told)
    assert find_release(home, "tiny@0.9.0").manifest.version == "0.9.0"
    here = read_all(home)
    assert [release.manifest.version for release in here.releases] == ["0.9.0"]
    assert here.damaged["tiny@1.0.0"].startswith(told)


def test_the_same_content_twice_is_one_release(home, tmp_path):
    both(home, tmp_path, b"weights")
    assert find_release(home, "tiny").manifest.version == "1.0.0"
    assert len(read_all(home).releases) == 1


@pytest.mark.parametrize("threads", [2, 8])
def test_identical_pulls_at_once_all_succeed(home, folder, ours, threads):
    publish(put_release(home), folder, None, Silent())
    with ThreadPoolExecutor(threads) as pool:
        for release in pool.map(lambda _: pulled(ours, folder.url), range(threads)):
            check(release)
    assert not [path for path in (ours.cache / "releases").iterdir() if path.name.startswith(".")]


def test_pulls_of_several_targets_at_once_lose_none(home, folder, ours):
    publish(put_release(home), folder, None, Silent())
    targets = ["onnxruntime-cpu", "openvino-cpu"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda target: pulled(ours, folder.url, choose=chooser([target])), targets))
    there = find_release(ours, "tiny").path.parent
    assert (there / "onnxruntime-cpu/model.onnx").is_file()
    assert (there / "openvino-cpu/model.bin").is_file()
