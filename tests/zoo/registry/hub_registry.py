"""A registry in a repository of the fake Hub (`hub_server`), its readers, and the library imported with its address."""

import os
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from threading import Thread

import pytest

from pipeline.progress import Silent
from tests.conftest import Workshop
from tests.zoo.registry.hub_server import WRITER, File, HubServer, Repository
from tests.zoo.registry.samples import put_release
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage

URL, NAME = "hf://datasets/team/nets", "datasets/team/nets"


BIG = os.urandom(11_000_000)


@contextmanager
def imported_anew(package):
    """huggingface_hub reads the environment once, when it is imported."""

    def take_out():
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == package}

    before = take_out()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = HubServer()
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    settings = {
        "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path_factory.mktemp("hub")), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1,localhost",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, imported_anew("huggingface_hub"):
        for name, value in settings.items():
            patch.setenv(name, value)
        yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(server, monkeypatch):
    """The server with one empty repository; writing needs a token."""
    server.clear()
    server.repositories[NAME] = Repository()
    monkeypatch.setenv("HF_TOKEN", WRITER)
    return server


@pytest.fixture
def place(hub):
    return open_place(URL)


@pytest.fixture
def shop(tmp_path):
    """The command line, with this registry in its catalogue."""
    (tmp_path / "shop").mkdir()
    shop = Workshop(tmp_path / "shop")
    shop.catalogue.write_text(f"registry: {{url: '{URL}'}}\n")
    return shop


def pulled(home, url=URL, wanted="tiny"):
    return pull(Registry([open_place(url)], Cache(home.cache)), home, wanted, chooser(None), Silent())


def check(release, files):
    assert list(damage(release)) == []
    assert {path: (release.path.parent / path).read_bytes() for path in files} == files


def asked(hub, method, part):
    return [path for how, path, _ in hub.asked if how == method and part in path]


@pytest.fixture
def old_garbage(hub, home, place):
    """A release and two files that none refers to, all nine days old."""
    hub.committed_at = datetime.now(timezone.utc) - timedelta(days=9)
    publish(put_release(home), place, None, Silent())
    loose = {f"blobs/{name[:2]}/{name}": File(b"rest", large=False) for name in ("0" * 64, "1" * 64)}
    hub.repositories[NAME].commit("loose", loose, at=hub.committed_at)
    hub.committed_at = None
    return set(loose)
