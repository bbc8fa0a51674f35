"""Problems in the environment of a command are reported in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Workshop


def test_bytes_are_checked_without_a_registry(shop, tmp_path, words, monkeypatch):
    """For pulled releases, unless signatures are required."""
    shop.zoo(*words("publish tiny"))
    away = Workshop(tmp_path / "away")
    away.root.mkdir()
    away.catalogue.write_text("{}\n")
    assert away.zoo("pull", "tiny", "--target", "onnxruntime-cpu").exit_code == 0
    monkeypatch.delenv("ZOO_REGISTRY")
    found = away.zoo("verify", "tiny")
    assert found.exit_code == 0
    assert "0 damaged" in found.stdout
    assert "signature not verified: the releases that come with zoo are not here" in found.stderr
    assert away.zoo("verify", "tiny", "--require-signature").exit_code == 1
    file = away.home / "pulled/tiny/1.0.0/graph/model.onnx"
    with file.open("r+b") as content:
        content.write(b"x")
    found = away.zoo("verify", "tiny")
    assert found.exit_code == 4
    assert "damaged: graph/model.onnx: other content" in found.stdout
    assert found.stdout.splitlines()[-1].endswith("1 damaged; not pulled: 4. Get it again: zoo pull tiny@1.0.0")


def test_the_repair_of_a_built_release_is_explained(built):
    with (built.home / "releases/tiny/1.0.0/graph/model.onnx").open("r+b") as content:
        content.write(b"x")
    found = built.zoo("verify", "tiny")
    mend = f"Remove record, compile, export and compact in {built.home / 'store'}, and build it again: zoo build tiny"
    assert found.exit_code == 4
    assert mend in found.stdout.splitlines()[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", "tiny"]])
def test_output_redirected_to_a_full_disk(environment, command):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "zoo", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == "Error: no space left on the disk. Free some space and run the command again.\n"


def test_measurements_that_can_not_be_written_are_reported_before_the_work(built, monkeypatch):
    monkeypatch.setattr("zoo.measure.measuring.measure_release", lambda *_: pytest.fail("it measures"))
    (built.home / "measurements").write_text("a file")
    assert "can't write measurements to" in built.refused("bench", "tiny", "-t", "onnxruntime-cpu")
