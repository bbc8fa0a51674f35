"""A release for ncnn, LiteRT or ExecuTorch: built, measured, and taken to a board that has numpy and the runtime, and
nothing to compile with.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from targets.bundles.archive import read_archive
from targets.bundles.contents import BUNDLE_LIST
from targets.bundles.packed import is_packed
from targets.contract import make_target
from targets.machine.device import this_device
from targets.ncnn.convert import pnnx_program
from targets.settings import TargetSettings
from zoo.doctor import _target

# Packages of the runtime on a board, by the runtime; and what makes its artifacts here.
BOARD = {
    "ncnn": ("ncnn", "tqdm", "requests", "portalocker", "urllib3"),
    "litert": ("ai_edge_litert", "flatbuffers", "ml_dtypes", "backports"),
}
MISSING = {
    "ncnn": not find_spec("ncnn") or not pnnx_program(),
    "litert": not find_spec("ai_edge_litert"),
    "executorch": not find_spec("executorch"),
}


@pytest.mark.skipif(MISSING["ncnn"], reason="the extra `ncnn` is not installed")
def test_doctor_says_what_is_missing_to_build(monkeypatch):
    row = _target("ncnn-cpu", TargetSettings("ncnn"))
    assert row["usable"]
    assert row["what"].startswith("ncnn 1.")
    monkeypatch.setattr("targets.ncnn.target.pnnx_program", lambda: None)
    row = _target("ncnn-cpu", TargetSettings("ncnn"))
    assert not row["usable"]
    assert "on CPU runs releases, but none can be built: pnnx not installed" in row["what"]
    assert row["mend"].startswith("Run: pip install")
    far = _target("pi", TargetSettings("ncnn", board="Raspberry Pi 99"))
    assert (far["usable"], far["what"]) == (False, "pnnx not installed, which ncnn's artifacts are made with")


def bare(folder, *packages):
    """Python without site-packages, but with some packages: as a device has it."""
    for package in packages:
        place = Path(next(iter(find_spec(package).submodule_search_locations))).parent
        for found in place.glob(f"{package}*"):
            (folder / found.name).symlink_to(found)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "ZOO_CACHE": str(folder)}
    return [sys.executable, "-S"], environment


def here(folder):
    """This Python without this project, for a runtime that needs torch."""
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return [sys.executable], {**rest, "ZOO_CACHE": str(folder)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # ExecuTorch and its libraries warn of one another
@pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"the extra `{name}` is not installed"))
        for name, missing in MISSING.items()
    ],
)
def test_it_is_built_measured_and_runs_elsewhere_from_a_bundle_with_artifacts(runtime, built, monkeypatch, tmp_path):
    far = f"targets:\n  far: {{runtime: {runtime}, threads: 1, board: {json.dumps(this_device().name)}}}"
    built.catalogue.write_text(f"{built.catalogue.read_text()}\n{far}\n")
    said = built.build("tiny", "--target", f"{runtime}-cpu").stdout
    assert f"{runtime}-cpu" in said
    shown = json.loads(built.zoo("show", "tiny", "--json").stdout)
    own = [row for row in shown["measurements"] if (row["target"], row.get("network")) == (f"{runtime}-cpu", "student")]
    rows = {row["precision"]: row for row in own}
    assert {*rows} == {"fp32", "int8"}
    assert rows["fp32"]["runtime"]["name"] == runtime
    assert rows["fp32"]["agreement"]["mean_cosine"] > 0.99999
    assert rows["int8"]["size_bytes"] < rows["fp32"]["size_bytes"]
    assert built.zoo("verify", "tiny").exit_code == 0

    monkeypatch.setattr("pipeline.planning.deployment.is_board", lambda words: words is None)  # as if it were not this
    said = built.build("tiny", "--target", "far").stdout.splitlines()[-1]
    bundle = built.home / "bundles" / said.removeprefix("python3 ")
    about = read_archive(bundle, BUNDLE_LIST, tmp_path / "unpacked")
    assert {is_packed(tmp_path / "unpacked" / one["graph"]) for one in about["variants"]} == {True}
    (tmp_path / "site").mkdir()
    python, environment = bare(tmp_path / "site", "numpy", *BOARD[runtime]) if runtime in BOARD else here(tmp_path)
    done = subprocess.run([*python, bundle], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"tiny@1.0.0 for far: {make_target(TargetSettings(runtime)).check()}" in done.stdout

    built.zoo("receive", str(tmp_path / f"{bundle.stem}.result"))
    built.build("tiny", "--target", "far")
    shown = json.loads(built.zoo("show", "tiny", "--json").stdout)
    found = [row for row in shown["measurements"] if (row["target"], row.get("network")) == ("far", "student")]
    assert found, [(row["target"], row["kind"]) for row in shown["measurements"]]
    assert {row["precision"] for row in found} == {*rows}
    assert all(row["agreement"] == rows[row["precision"]]["agreement"] for row in found)
