"""Readers of a registry that is sound: how they pull, what they then have, and a folder with three versions."""

import pytest

from pipeline.progress import Silent
from tests.zoo.registry.samples import files_of, put_release
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage

EVERYTHING = chooser(None)


def reader(home, *urls, **settings):
    return Registry([open_place(str(url)) for url in urls], Cache(home.cache), **settings)


def pulled(home, url, wanted="tiny", choose=EVERYTHING, **settings):
    return pull(reader(home, url, **settings), home, wanted, choose, Silent())


def check(release, files=None):
    """Every file is there, byte by byte."""
    assert list(damage(release)) == []
    for path, content in (files or files_of()).items():
        assert (release.path.parent / path).read_bytes() == content


@pytest.fixture
def another(tmp_path):
    return Home(tmp_path / "another")


@pytest.fixture
def published(home, folder):
    """A folder with three versions of a release."""
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        publish(put_release(home, version=version, files=files_of(version.encode())), folder, None, Silent())
    return folder
