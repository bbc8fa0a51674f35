"""A registry with mirrors, or without a network."""

import json
import shutil

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.pulling import EVERYTHING, another, check, published, pulled, reader
from tests.zoo.registry.samples import files_of, put_release, tree
from zoo.catalogue.registry_settings import RegistrySettings
from zoo.errors import RegistryError
from zoo.home import Home
from zoo.registry.opening import open_registry
from zoo.registry.publish import publish
from zoo.registry.pull import pull

__all__ = ["another", "published"]


def test_offline_pulled_releases_are_used(published, serve, another, tmp_path):
    url = serve(published.root)
    pulled(another, url)
    published.root.rename(tmp_path / "gone")
    check(pulled(another, url), files_of(b"2.0.0"))
    with pytest.raises(RegistryError, match="not there. Tell the registry's owner"):
        pulled(another, url, "tiny@1.0.0")


def test_a_mirror_supplies_missing_files(published, serve, another, tmp_path):
    mirror = tmp_path / "mirror"
    (published.root / "blobs").rename(mirror)
    urls = serve(published.root), serve(tmp_path)  # the second has blobs under another folder's name
    (tmp_path / "blobs").symlink_to(mirror)
    check(pull(reader(another, *urls), another, "tiny", EVERYTHING, Silent()), files_of(b"2.0.0"))


def test_an_outdated_mirror_does_not_roll_the_registry_back(published, serve, another, home, tmp_path):
    old = (published.root / "index.json").read_bytes()
    url = serve(published.root)
    publish(put_release(home, version="3.0.0"), published, None, Silent())
    pulled(another, url)
    (tmp_path / "lagging").mkdir()
    (tmp_path / "lagging/index.json").write_bytes(old)
    (published.root / "index.json").unlink()
    (published.root / "index.json").mkdir()  # the registry itself is broken
    got = pull(reader(another, url, serve(tmp_path / "lagging")), another, "tiny", EVERYTHING, Silent())
    assert got.manifest.version == "3.0.0"


def test_mirrors_are_those_of_the_registry_that_names_them(another, monkeypatch):
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    settings = RegistrySettings(url="/ours", mirrors=("/mirror",))
    for named, urls in ((None, ["/ours", "/mirror"]), ("/other", ["/other"])):
        assert [place.url for place in open_registry(settings, another, named, False).places] == urls


def test_the_registrys_error_is_reported_and_not_its_mirrors(another, tmp_path):
    with pytest.raises(RegistryError, match=r"/ours is not a registry: it has no index.json"):
        pull(reader(another, tmp_path / "ours", tmp_path / "mirror"), another, "tiny", EVERYTHING, Silent())


def test_a_mirror_replaces_damaged_files(published, another, tmp_path):
    """Damaged content is discarded before the next place is asked."""
    mirror = shutil.copytree(published.root, tmp_path / "mirror")
    for path in tree(published.root / "blobs"):
        file = published.root / "blobs" / path
        if file.stat().st_size > 200_000:
            file.write_bytes(b"y" * file.stat().st_size)
    release = pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent())
    check(release, files_of(b"2.0.0"))


def test_a_mirror_can_not_speak_for_the_registry(published, another, tmp_path):
    """Whatever it serves while the registry is down, the registry takes precedence afterwards."""
    mirror = shutil.copytree(published.root, tmp_path / "mirror")
    index = json.loads((mirror / "index.json").read_text())
    (mirror / "index.json").write_text(json.dumps({**index, "revision": 10**12}))
    away = published.root.rename(tmp_path / "away")
    check(pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent()), files_of(b"2.0.0"))
    away.rename(published.root)
    publish(put_release(Home(tmp_path / "maker"), version="3.0.0"), published, None, Silent())
    release = pull(reader(another, published.url, mirror), another, "tiny", EVERYTHING, Silent())
    assert release.manifest.version == "3.0.0"
