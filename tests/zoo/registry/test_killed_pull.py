"""A pull that is killed leaves a cache that is whole; the same command goes on from there."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from pipeline.progress import Silent
from tests.zoo.registry.conftest import Quiet
from tests.zoo.registry.samples import files_of, put_release, sha, tree
from zoo.home import Home
from zoo.registry.publish import publish
from zoo.registry.verify import damage
from zoo.releases import find_release


class Slow(Quiet):
    """Gives a file in pieces, with pauses."""

    def copyfile(self, source, outputfile) -> None:
        while piece := source.read(30_000):
            outputfile.write(piece)
            time.sleep(0.004)


def test_pulls_that_are_killed_leave_no_half_release(home, folder, serve, tmp_path):
    """Twenty times at random, until it came through."""
    files = {**files_of(), "openvino-cpu/weights.bin": os.urandom(2_000_000)}
    publish(put_release(home, files=files), folder, None, Silent())
    url, dice, killed = serve(folder.root, Slow), random.Random(0), 0
    another = Home(tmp_path / "another")
    command = [sys.executable, "-m", "zoo", "pull", "tiny", "--all", "--registry", url]
    environment = {**os.environ, "ZOO_HOME": str(another.root)}
    started = time.monotonic()
    subprocess.run(command, env={**environment, "ZOO_HOME": str(tmp_path / "timed")}, check=True, capture_output=True)
    whole = time.monotonic() - started
    while killed < 20:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.5, 0.95) * whole)
        process.kill()
        killed += process.wait() == -9
        for path in tree(another.cache / "blobs"):
            assert sha((another.cache / "blobs" / path).read_bytes()) == Path(path).name
        if another.pulled.exists() and tree(another.pulled):
            assert list(damage(find_release(another, "tiny"))) == []
            another = Home(tmp_path / f"another{killed}")  # it came through: from the start again
            environment["ZOO_HOME"] = str(another.root)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    release = find_release(another, "tiny@1.0.0")
    assert list(damage(release)) == []
    assert (release.path.parent / "openvino-cpu/weights.bin").read_bytes() == files["openvino-cpu/weights.bin"]
