"""A device elsewhere, and changes to archives on the way to it and back.

`board` is a target whose board is this machine, which the build is made to believe it is not.
"""

import io
import json
import os
import re
import resource
import shutil
import subprocess
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from targets.bundles.archive import write_archive
from tests.conftest import Workshop
from zoo.home import Home
from zoo.release.local import find_release

NAME = "tiny-1.0.0-board"


@contextmanager
def board_elsewhere():
    """Make a build believe that this machine is not the board."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.planning.deployment.is_board", lambda words: words is None)
        yield


def build(shop, *arguments):
    with board_elsewhere():
        return shop.build("tiny", "--target", "board", *arguments)


def release_of(shop):
    return find_release(Home(shop.home), "tiny@1.0.0")


def measured_on(shop, target="board"):
    """The dense network first, then by precision."""
    return release_of(shop).on(target)


def ships_on(shop, target="board"):
    (shipped,) = [one for one in measured_on(shop, target) if one.ships]
    return shipped


def copied(shop, folder):
    """A copy of a workshop; results of stages, which never change, are hard links."""

    def place(source, target):
        never_changes = "/.zoo/store/" in source and "/cache/" not in source
        (os.link if never_changes else shutil.copy2)(source, target)

    shutil.copytree(shop.root, folder, symlinks=True, copy_function=place)
    return Workshop(folder)


class Desk:
    """Folders on the device: the current one, home, temporary files and cache."""

    def __init__(self, python, root):
        self.python, self.root = python, root
        for name in ("here", "home", "temporary"):
            (root / name).mkdir(parents=True)

    def start(self, *words, limit=None):
        places = {"HOME": "home", "TMPDIR": "temporary", "ZOO_CACHE": "cache"}
        environment = {name: str(self.root / place) for name, place in places.items()}

        def limited():
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [self.python, "-I", *words],
            cwd=self.root / "here",
            env=environment | {"PATH": os.environ["PATH"], "ZOO_QUIET_SECONDS": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limited,
        )

    def run(self, *words, limit=None):
        process = self.start(*words, limit=limit)
        output, errors = process.communicate(timeout=100)
        return process.returncode, output, errors

    def refused(self, *words, limit=None):
        """Run, expect an error of one or two lines and no files left; return the error."""
        code, _, errors = self.run(*words, limit=limit)
        assert code == 1
        assert errors.startswith("Error: ")
        assert errors.strip().count("\n") < 2
        assert not self.left()
        return errors.strip().removeprefix("Error: ")

    def left(self):
        """All files except those in the named cache, which belongs to the runtime."""
        files = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(file.as_posix() for file in files if file.parts[0] != "cache")


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def altered(source, path, list_name, files=None, **about):
    """An altered archive whose list and content still agree."""
    there = contents(source)
    listed = json.loads(there.pop(list_name))
    del listed["files"]
    changed = {name: content for name, content in {**there, **(files or {})}.items() if content is not None}
    write_archive(path, list_name, {**listed, **about}, changed)
    return path


def printed_figures(output):
    return [(float(mean), float(first)) for mean, first in re.findall(r"^  mAP ([\d.]+)  R1 ([\d.]+) ", output, re.M)]


def changed(archive, name, change):
    """An array of an archive after a change, as bytes."""
    np.save(out := io.BytesIO(), change(np.load(io.BytesIO(contents(archive)[name]))))
    return out.getvalue()
