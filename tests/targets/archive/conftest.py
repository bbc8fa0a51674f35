"""A folder for an archive, and a valid archive."""

import pytest

from targets.bundles.archive import write_archive
from tests.targets.archive.strangers import FILES, LIST


@pytest.fixture
def room(tmp_path):
    """A folder that must hold nothing but `archive` after a refusal."""
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Bytes of an archive of `FILES`."""
    path = tmp_path_factory.mktemp("good") / "archive"
    write_archive(path, LIST, {"release": "tiny@1.0.0"}, FILES)
    return path.read_bytes()
