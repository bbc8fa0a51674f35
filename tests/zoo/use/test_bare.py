"""The base install with ONNX Runtime, and nothing else: pull and query, on this Python and on the oldest one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[3]


def python_3_10():
    """An interpreter, if there is one: on the path, or of pyenv."""
    found: list[Any] = [shutil.which("python3.10"), *Path("~/.pyenv/versions").expanduser().glob("3.10.*/bin/python")]
    for one in filter(None, found):
        said = subprocess.run([one, "--version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith("Python 3.10."):
            return str(one)
    pytest.skip("no Python 3.10 here")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", ["this", "3.10"])
def test_pull_and_query_need_the_base_and_one_runtime(built, version, tmp_path):
    """From an empty environment; needs a package index."""
    python = sys.executable if version == "this" else python_3_10()
    uv, bare = Path(sys.executable).with_name("uv"), tmp_path / "bare"
    subprocess.run([uv, "venv", "-q", "--python", python, bare], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", bare / "bin/python", f"{TOP}[onnxruntime]"], check=True)
    missing = subprocess.run([bare / "bin/python", "-c", "import torch"], capture_output=True, check=False)
    assert missing.returncode != 0
    assert built.zoo("publish", "tiny", "--registry", str(tmp_path / "registry")).exit_code == 0

    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ZOO_HOME": str(tmp_path / "home")}
    environment |= {"ZOO_REGISTRY": str(tmp_path / "registry")}

    def zoo(*arguments):
        command = [bare / "bin/zoo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    zoo("pull", "tiny")
    images = built.root / "data/squares/image_test"
    first = sorted(images.iterdir())[0]
    table = zoo("query", str(first), "--gallery", str(images))
    assert first.name in table.splitlines()[3]
    assert "1.000" in table.splitlines()[3]
    assert (tmp_path / f"{first.stem}.sheet.png").exists()
    size = sum(path.stat().st_size for path in bare.rglob("*") if path.is_file()) / 1e6
    assert size < 300
