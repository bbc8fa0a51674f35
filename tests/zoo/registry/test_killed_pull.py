"""A killed pull leaves a valid cache, and the same command resumes."""

import os
import random
import time
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.forked import context
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.samples import files_of, put_release, sha, tree
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.choice import chooser
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import publish
from zoo.registry.pull import pull
from zoo.registry.reader import Registry
from zoo.registry.verify import damage
from zoo.release.local import find_release


class Slow(Quiet):
    """Sends a file in pieces, with pauses."""

    def copyfile(self, source, outputfile) -> None:
        while piece := source.read(30_000):
            outputfile.write(piece)
            time.sleep(0.002)


def pull_all(url, root):
    """Runs in the child."""
    home = Home(root)
    pull(Registry([open_place(url)], Cache(home.cache)), home, "tiny", chooser(None), Silent())


def start(url, home):
    child = context.Process(target=pull_all, args=(url, home.root))
    child.start()
    return child


@pytest.mark.slow
def test_killed_pulls_leave_no_partial_release(home, folder, serve, tmp_path):
    """At random moments after the first byte; after some, the same command comes through."""
    files = {**files_of(), "openvino-cpu/weights.bin": os.urandom(2_000_000)}
    publish(put_release(home, files=files), folder, None, Silent())
    url, dice, killed, halves = serve(folder.root, Slow), random.Random(0), 0, 0
    while killed < 8:
        another = Home(tmp_path / f"another{killed}")
        child = start(url, another)
        while child.is_alive() and not tree(another.cache):
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.2))
        child.kill()
        child.join()
        killed += child.exitcode == -9
        halves += bool(tree(another.cache / "parts"))
        for path in tree(another.cache / "blobs"):
            assert sha((another.cache / "blobs" / path).read_bytes()) == Path(path).name
        if another.pulled.exists() and tree(another.pulled):
            assert list(damage(find_release(another, "tiny"))) == []
        if killed % 4 == 0:
            pull_all(url, another.root)
            release = find_release(another, "tiny@1.0.0")
            assert list(damage(release)) == []
            assert (release.path.parent / "openvino-cpu/weights.bin").read_bytes() == files["openvino-cpu/weights.bin"]
    assert halves, "some are killed in the middle of a file"
