"""A device elsewhere, and what changes on the way to it and back.

`board` is a target whose board this machine is. The build is told that it is not, and the program finds that it is.
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
    """This machine is no board, as far as a build can tell."""
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
    """A workshop to change; results of stages, which never change, are not copied but named again."""

    def place(source, target):
        never_changes = "/.zoo/store/" in source and "/cache/" not in source
        (os.link if never_changes else shutil.copy2)(source, target)

    shutil.copytree(shop.root, folder, symlinks=True, copy_function=place)
    return Workshop(folder)


class Desk:
    """A place on the device: where one stands, a home, folders for what is temporary and for the cache."""

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
        """Run, expect a refusal in a line or two and nothing left behind; what was said."""
        code, _, errors = self.run(*words, limit=limit)
        assert code == 1
        assert errors.startswith("Error: ")
        assert errors.strip().count("\n") < 2
        assert not self.left()
        return errors.strip().removeprefix("Error: ")

    def left(self):
        """All files there are, but those in the named cache, which is the runtime's."""
        files = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return sorted(file.as_posix() for file in files if file.parts[0] != "cache")


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def altered(source, path, list_name, files=None, **about):
    """An archive whose list and content agree, but in which things are other than they were."""
    there = contents(source)
    listed = json.loads(there.pop(list_name))
    del listed["files"]
    changed = {name: content for name, content in {**there, **(files or {})}.items() if content is not None}
    write_archive(path, list_name, {**listed, **about}, changed)
    return path


def printed_figures(output):
    return [(float(mean), float(first)) for mean, first in re.findall(r"^  mAP ([\d.]+)  R1 ([\d.]+) ", output, re.M)]


def changed(archive, name, change):
    """An array of an archive, as it would be there after a change."""
    np.save(out := io.BytesIO(), change(np.load(io.BytesIO(contents(archive)[name]))))
    return out.getvalue()
