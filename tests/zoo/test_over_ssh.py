"""A complete build for another machine: a real sshd, and an environment there without torch."""

import json
import os
import subprocess
import sys

import pytest

from tests.targets.sshd import bare_environment, running_device
from zoo.home import Home
from zoo.release.local import find_release


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_from_a_fresh_environment_to_a_row_in_the_manifest(runtime, built, tmp_path):
    python = bare_environment(tmp_path / "bare", "numpy", runtime)
    text = built.catalogue.read_text() + f"\ntargets:\n  board: {{runtime: {runtime}, python: '{python}'}}\n"
    built.catalogue.write_text(text)
    with running_device(tmp_path) as device:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"},
            "HOME": str(device.here),
            "ZOO_CATALOGUE": str(built.catalogue),
            "ZOO_HOME": str(built.home),
            "ZOO_DATA": str(built.root / "data"),
        }
        command = [sys.executable, "-m", "zoo", "build", "tiny", "--target", "board", "--host", device.address]
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    assert "running on" in result.stderr
    release = find_release(Home(built.home), "tiny")
    manifest, rows = release.manifest, release.on("board")
    assert {row.runtime.name for row in rows} == {runtime}
    assert {row.precision for row in rows} == {"fp32", "int8"}
    (exact,) = [row for row in rows if (row.network, row.precision) == ("student", "fp32")]
    assert exact.agreement.min_cosine > 0.9999
    assert exact.accuracy.map == pytest.approx(manifest.accuracy.student.map, abs=0.5)
    assert [one for one in manifest.artifacts if one.target == "board"]
    modules = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert modules.returncode != 0
    assert json.loads(built.zoo("show", "tiny", "--json").output)["measurements"]
