"""Tables and plots of studies: averages, order, and the drawing."""

import json
import subprocess
import sys

import pytest

from bench.curve import draw, points, table


def run(recipe, at, seed, mean_ap, saved):
    return {"recipe": recipe, "at": at, "seed": seed, "map": mean_ap, "macs_saved": saved, "teacher_map": 50.0}


RUNS = [
    run("study-prune", "macs=0.3", 0, 52.0, 0.7),
    run("study-prune", "macs=0.15", 0, 48.0, 0.85),
    run("study-prune", "macs=0.15", 1, 50.0, 0.86),
    run("study-cdd", "macs=0.15", 0, 45.0, 0.85),
]

STUDY = {
    "dataset": "x",
    "recipes": {"study-prune": {"network": {"architecture": "resnet18"}, "input": {"height": 64}}},
    "runs": RUNS,
}


def test_seeds_are_averaged_and_budgets_are_not():
    found = points(RUNS)
    assert found["study-cdd"] == [(pytest.approx(15.0), 45.0, 0.0)]
    assert [row[:2] for row in found["study-prune"]] == [(pytest.approx(14.5), 49.0), (pytest.approx(30.0), 52.0)]
    assert found["study-prune"][0][2] == pytest.approx(2**0.5)


def test_a_table_has_means_spreads_and_seeds_by_budget_and_ours_first():
    runs = [run("best", "macs=0.15", 0, 90.0, 0.85), *RUNS, run("small", "", 0, 40.0, 0.9)]
    rows = table({**STUDY, "runs": runs}).splitlines()
    assert rows[0] == "| method | 15 % | 30 % | own size |"
    assert rows[2] == "| prune | 49.00 ± 1.41 (2) | 52.00 (1) |  |"
    assert [row.split("|")[1].strip() for row in rows[3:]] == ["best", "cdd", "small", "(teacher, dense)"]
    assert "| small |  |  | 40.00 (1, 10 % of the MACs) |" in rows
    assert {row.count("|") for row in rows} == {5}


def test_what_is_no_share_of_the_macs_is_a_heading_as_it_is():
    runs = [run("one", at, 0, 50.0, 0.7) for at in ("distill.compress.macs=0.3", "distill.compress.params=0.3", "a=b")]
    assert table({**STUDY, "runs": runs}).splitlines()[0] == "| method | a=b | 30 % | distill.compress.params=0.3 |"


def test_a_figure_is_drawn_and_other_files_are_refused(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    (tmp_path / "other.json").write_text("{}")
    command = [sys.executable, "-m", "bench.curve", "--out", str(tmp_path / "study.svg")]
    drawn = subprocess.run([*command, str(tmp_path / "study.json")], capture_output=True, text=True, check=False)
    assert drawn.returncode == 0
    assert drawn.stdout.startswith("x, resnet18, 64 px, mAP % (seeds)")
    text = (tmp_path / "study.svg").read_text()
    assert text.startswith("<?xml")
    assert "prune" in text
    refused = subprocess.run([*command, str(tmp_path / "other.json")], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "other.json is not the JSON of a study" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_method_of_a_long_study_is_drawn(tmp_path):
    names = [f"method{number}" for number in range(15)]
    draw([{**STUDY, "runs": [run(name, "macs=0.3", 0, 50.0, 0.7) for name in names]}], tmp_path / "study.svg")
    text = (tmp_path / "study.svg").read_text()
    assert [name for name in names if f"<!-- {name} -->" not in text] == []
