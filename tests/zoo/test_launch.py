"""Training on several GPUs: refused if there are too few, and otherwise the same release."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
LAUNCH = "import sys; from zoo.building.launch import launch; sys.exit(launch(sys.argv[1:], 2))"


def launched(shop, *arguments):
    """`zoo build` in two processes on the CPU: what `--gpus 2` does on two GPUs."""
    environment = {
        **os.environ,
        "ZOO_HOME": str(shop.home),
        "ZOO_DATA": str(shop.root / "data"),
        "OMP_NUM_THREADS": "1",
    }
    environment["ZOO_CATALOGUE"] = str(shop.catalogue)
    command = [sys.executable, "-c", LAUNCH, "build", "tiny", "--device", "cpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TOP, timeout=280, check=False)


def test_more_gpus_than_there_are(workshop, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    message = workshop.refused("build", "--gpus", "2")
    assert message == "--gpus 2: torch sees no CUDA devices here. Leave --gpus out to train on the CPU."
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    message = workshop.refused("build", "--gpus", "4")
    assert message == "--gpus 4: torch sees 1 CUDA device here. Use --gpus 1."
    assert not workshop.home.exists()


def test_gpus_on_a_cpu_is_wrong_usage(workshop):
    result = workshop.zoo("build", "--gpus", "2", "--device", "cpu")
    assert result.exit_code == 2
    assert "--gpus and --device cpu exclude each other" in result.stderr


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_reported_once(workshop):
    result = launched(workshop, "--set", "teacher.lr=1e9")
    assert result.returncode == 1
    assert result.stderr.count("not finite") == 1
    assert "Traceback" not in result.stderr
    assert not (workshop.home / "releases").exists()


@pytest.mark.slow
def test_an_error_of_all_processes_is_reported_once(workshop):
    result = launched(workshop, "--set", "sampling.identities=3", "--set", "sampling.images=3")
    assert result.returncode == 1
    assert result.stderr.count("can't be divided among 2 processes") == 1


@pytest.mark.slow
def test_two_processes_build_the_release_of_one(workshop, finished):
    result = launched(workshop, "--target", "onnxruntime-cpu")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    manifests = [
        json.loads((shop.home / "releases/tiny/1.0.0/manifest.json").read_text()) for shop in (finished, workshop)
    ]
    keys = [{stage["name"]: stage["key"] for stage in manifest["stages"]} for manifest in manifests]
    for name in ("teacher", "distill", "compact"):
        assert keys[0][name] == keys[1][name]
    assert manifests[0]["compression"]["after"] == pytest.approx(manifests[1]["compression"]["after"], rel=0.1)
    assert manifests[0]["accuracy"]["student"]["map"] == pytest.approx(
        manifests[1]["accuracy"]["student"]["map"], abs=5
    )
