"""Concurrent publishers lose nothing; a killed one leaves a valid registry."""

import os
import random
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.zoo.registry.samples import sha, tree
from zoo.registry.index import Blob
from zoo.registry.places.by_url import open_place
from zoo.registry.publish import collect_garbage, read_index, read_listed

COUNT = 5


def publisher(url, name, first, count, *content):
    command = [sys.executable, "-m", "tests.zoo.registry.publisher", url, name, str(first), str(count), *content]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_whole(place):
    """Check that every release in the index has its manifest and files."""
    index = read_index(place)
    for name, versions in index.releases.items():
        for version, listed in versions.items():
            _, manifest = read_listed(place, f"{name}@{version}", listed)
            blobs: list[Any] = [*manifest.files, *listed.measurements]
            for blob in blobs:
                path = Blob(sha256=blob.sha256, size_bytes=blob.size_bytes).path
                assert len(place.read(path, 2**24)) == blob.size_bytes
    return index


@pytest.mark.slow
def test_two_processes_with_many_releases_each_lose_no_release(writable):
    running = [publisher(writable.url, name, 0, COUNT) for name in ("one", "two")]
    for process in running:
        _, errors = process.communicate(timeout=250)
        assert process.returncode == 0, errors
    index = read_index(writable)
    assert {name: len(versions) for name, versions in index.releases.items()} == {"one": COUNT, "two": COUNT}
    assert index.revision == 2 * COUNT


def test_of_two_builds_of_one_version_one_is_published_and_the_other_is_told(writable):
    """Both processes publish the same versions with different content, at the same time."""
    count = 4
    running = [publisher(writable.url, "same", 0, count, content) for content in ("mine", "yours")]
    told = []
    for process in running:
        out, errors = process.communicate(timeout=250)
        assert process.returncode == 0, errors
        told.append(out.split())
    for number, outcomes in enumerate(zip(*told, strict=True)):
        assert sorted(outcomes) == [str(number), "refused"]  # never both, and never none
    index = check_whole(writable)
    for number in range(count):
        listed = index.find("same", f"1.{number}.0")
        _, manifest = read_listed(writable, f"same@1.{number}.0", listed)
        (graph,) = (one for one in manifest.artifacts if one.path == "graph/model.onnx")
        winner = "mine" if told[0][number] != "refused" else "yours"
        content = f"graph of same {number} {winner}".encode()
        assert graph.sha256 == sha(content)  # the winner was told the truth


def test_two_processes_on_the_same_name_lose_no_release(tmp_path):
    place = open_place(str(tmp_path / "registry"))
    running = [publisher(place.url, "same", first, 10) for first in (0, 10)]
    assert [process.wait(timeout=100) for process in running] == [0, 0]
    assert len(check_whole(place).releases["same"]) == 20


@pytest.mark.slow
def test_killed_publishers_leave_a_valid_registry(tmp_path):
    """At random moments: listed releases are complete, unlisted files are garbage, and the next publisher continues."""
    place, dice, seen = open_place(str(tmp_path / "registry")), random.Random(0), 0
    for round_ in range(8):
        process = publisher(place.url, "killed", 1000 * round_, 1000)
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.1))
        process.kill()
        process.communicate()
        found = check_whole(place).releases["killed"]
        assert len(found) > seen
        seen = len(found)
    assert publisher(place.url, "killed", 99_000, 1).wait(timeout=60) == 0
    assert len(check_whole(place).releases["killed"]) == seen + 1
    assert collect_garbage(place, dry=True)[0] == 0  # all of it is young
    for path in tree(tmp_path / "registry"):
        os.utime(tmp_path / "registry" / path, (1, 1))
    collect_garbage(place, dry=False)
    assert len(check_whole(place).releases["killed"]) == seen + 1
    assert not [path for path in tree(tmp_path / "registry") if path.startswith("unfinished")]
