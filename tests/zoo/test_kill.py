"""kill -9, or Ctrl-C, at any moment: the next build succeeds and the store holds no partial result."""

import json
import os
import random
import re
import shutil
import signal
import time

import pytest

from tests.forked import context
from zoo.release.reading import read_manifest

STAGES = ["distill", "compact", "export", "record"]
KILLS = 2


def _build(environment, arguments, limit_bytes):
    """Runs in the child."""
    import resource
    import sys

    os.environ.update(environment)
    log = open(environment["LOG"], "w")  # noqa: SIM115, PTH123 - both streams of this process, to its end
    sys.stdout = sys.stderr = log
    if limit_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    import targets.measuring.latency
    from zoo.cli import main

    targets.measuring.latency.PAUSE_SECONDS = 0  # as in this process
    main(["build", "tiny", *arguments])


def start(shop, *arguments, limit_bytes=None):
    environment = {"ZOO_CATALOGUE": str(shop.catalogue), "ZOO_HOME": str(shop.home)}
    environment |= {"ZOO_DATA": str(shop.root / "data"), "LOG": str(shop.root / "log")}
    child = context.Process(target=_build, args=(environment, arguments, limit_bytes))
    child.start()
    return child


def results(shop):
    """Files of every result in the store, with sizes; sizes of texts that hold times may differ.

    So may the digest in the name of a measurement.
    """
    store, weighed = shop.home / "store", (".safetensors", ".onnx", ".bin")
    return {
        re.sub(r"(measurements/.*)-\w{12}\.json", r"\1", str(path.relative_to(store))): (
            path.stat().st_size if path.suffix in weighed else None
        )
        for path in store.rglob("*")
        if path.is_file() and path.relative_to(store).parts[0] not in ("unfinished", "builds")
    }


def forget(shop, stage):
    """Remove the results of a stage and of later ones."""
    later = [*STAGES[STAGES.index(stage) : -1], "compile", "measure", "record"] if stage != "record" else ["record"]
    for folder in (*(shop.home / "store" / name for name in later), shop.home / "releases"):
        shutil.rmtree(folder, ignore_errors=True)


def seconds_left(shop, finished, stage):
    """Time that the missing steps of a stage took in the finished workshop."""
    records = (finished.home / "store" / stage).glob("*/stage.json")
    lacking = [path for path in records if not (shop.home / "store" / stage / path.parent.name).exists()]
    return max(0.02, sum(json.loads(path.read_text())["seconds"] for path in lacking))


MARK = "left-by-the-kill-before"


def at_work(shop, stage):
    """Whether a build is inside a stage, or was when it was killed."""
    unfinished = (shop.home / "store" / "unfinished").glob(f"{stage}-*/out")
    return any(path.exists() and not (path / MARK).exists() for path in unfinished)


def kill_inside(shop, stage, seconds, moment):
    """Start a build, kill it while `stage` is at work; whether the kill came before the stage had ended."""
    for path in (shop.home / "store" / "unfinished").glob(f"{stage}-*/out"):
        (path / MARK).touch()
    child = start(shop)
    while child.is_alive() and not at_work(shop, stage):
        time.sleep(0.01)
    time.sleep(moment.random() * seconds)
    child.kill()
    child.join()
    return at_work(shop, stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kill_at_random_moments(stage, built, finished):
    expected, moment = results(finished), random.Random(stage)
    forget(built, stage)
    kills = 0
    for _ in range(40):
        inside = kill_inside(built, stage, seconds_left(built, finished, stage), moment)
        kills += inside
        left = results(built)
        assert left.keys() <= expected.keys()
        for folder in {name.rsplit("/", 1)[0] for name in left}:  # existing results are complete
            assert {n for n in left if n.startswith(folder)} == {n for n in expected if n.startswith(folder)}
        if kills == KILLS:
            break
        if not inside:  # the stage finished: start again
            forget(built, stage)
    assert kills == KILLS

    child = start(built)
    child.join()
    assert child.exitcode == 0, (built.root / "log").read_text()
    assert results(built) == expected
    assert list((built.home / "store" / "unfinished").iterdir()) == []
    manifests = [read_manifest(shop.home / "releases/tiny/1.0.0/manifest.json") for shop in (built, finished)]
    assert manifests[0].accuracy == manifests[1].accuracy
    digests = [{a.path: a.sha256 for a in m.artifacts if a.path.startswith("network/")} for m in manifests]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume(workshop):
    endless = ("--set", "teacher.epochs=500")
    child, deadline = start(workshop, *endless), time.monotonic() + 120
    while not list(workshop.home.glob("store/unfinished/*/scratch/checkpoints/epoch-*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(child.pid, signal.SIGINT)
    child.join(60)
    assert child.exitcode == 130
    log = (workshop.root / "log").read_text()
    last = log.strip().splitlines()[-1]
    assert last.startswith("Error: interrupted in teacher.")
    assert "run the command again to continue, training from its last checkpoint" in last
    assert "Traceback" not in log
    plan = workshop.zoo("build", "--plan", *endless).output.splitlines()
    assert plan[0].endswith("runs: did not finish, continues from its last checkpoint")


@pytest.mark.slow  # the next one has a file system that is full, where one may mount it
def test_a_full_disk(built):
    """Writes beyond a limit fail as on a full disk; with free space again, the same build succeeds."""
    forget(built, "export")
    child = start(built, limit_bytes=2**20)
    child.join()
    log = (built.root / "log").read_text()
    assert child.exitcode == 1
    assert log.strip().splitlines()[-1].startswith("Error: no space left while writing below")
    assert "Traceback" not in log
    assert not (built.home / "releases").exists()
    child = start(built)
    child.join()
    assert child.exitcode == 0
    assert (built.home / "releases/tiny/1.0.0/manifest.json").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 8 MiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=8m tmpfs {folder} 2>/dev/null"):
        pytest.skip("can't mount a small file system here")
    yield folder
    os.system(f"umount {folder}")


def test_a_really_full_disk(workshop, small_disk):
    workshop.home.symlink_to(small_disk / "home")
    (small_disk / "home").mkdir()
    assert "no space left while writing below" in workshop.refused("build")
