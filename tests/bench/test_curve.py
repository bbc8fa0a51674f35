"""The plot of a study: averages, and the drawing."""

import json
import subprocess
import sys

import pytest

from bench.curve import points


def run(recipe, at, seed, map, saved):
    return {"recipe": recipe, "at": at, "seed": seed, "map": map, "macs_saved": saved, "teacher_map": 50.0}


RUNS = [
    run("study-prune", "macs=0.3", 0, 52.0, 0.7),
    run("study-prune", "macs=0.15", 0, 48.0, 0.85),
    run("study-prune", "macs=0.15", 1, 50.0, 0.86),
    run("study-cdd", "macs=0.15", 0, 45.0, 0.85),
]


def test_seeds_are_averaged_and_budgets_are_not():
    found = points(RUNS)
    assert found["study-cdd"] == [(pytest.approx(15.0), 45.0, 0.0)]
    assert [row[:2] for row in found["study-prune"]] == [(pytest.approx(14.5), 49.0), (pytest.approx(30.0), 52.0)]
    assert found["study-prune"][0][2] == pytest.approx(2**0.5)


def test_a_figure_is_drawn_and_other_files_are_refused(tmp_path):
    study = {"dataset": "x", "recipes": {"study-prune": {"network": {"architecture": "resnet18"}}}, "runs": RUNS}
    (tmp_path / "study.json").write_text(json.dumps(study))
    (tmp_path / "other.json").write_text("{}")
    command = [sys.executable, "-m", "bench.curve", "--out", str(tmp_path / "study.svg")]
    assert subprocess.run([*command, str(tmp_path / "study.json")], check=False).returncode == 0
    text = (tmp_path / "study.svg").read_text()
    assert text.startswith("<?xml")
    assert "prune" in text
    refused = subprocess.run([*command, str(tmp_path / "other.json")], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "other.json is not the JSON of a study" in refused.stderr
    assert "Traceback" not in refused.stderr
