"""The list of GPU jobs: complete, in order, and within nine minutes."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.gpu import STUDY, TINY_STUDY, TOP, WHEELS, choose, gpu_tests, main, make_jobs, read_tests
from bench.jobs import Outcome
from bench.study import make_trials, read_options
from pipeline.stages.distill import check_student
from pipeline.training.precision import computes_in_bf16

ORDER = ["tests", "steps", "rggr", "study", "rtx", "nccl"]
JUNIT = """<testsuites><testsuite><testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure/></testcase><testcase classname="a" name="none"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize("miniature", [False, True])
def test_all_jobs_are_there_in_order_and_fit_nine_minutes(miniature, tmp_path):
    jobs = make_jobs(miniature, tmp_path, [])
    assert [job.name for job in jobs] == ORDER
    assert sum(job.seconds for job in jobs) < 9 * 60
    assert [job.name for job in jobs if job.greedy] == ["study"]
    for job in jobs:
        assert find_spec(job.arguments[1])
        assert any("{out}" in argument for argument in job.arguments)


def test_every_gpu_test_is_included():
    assert gpu_tests() == ["tests/bench/test_trials.py", "tests/pipeline/test_gpu.py", "tests/targets/test_tensorrt.py"]


def test_jobs_are_chosen_by_name_and_stay_in_order(tmp_path):
    jobs = make_jobs(True, tmp_path, [])
    assert [job.name for job in choose(jobs, ["nccl", "tests"])] == ["tests", "nccl"]
    with pytest.raises(SystemExit, match="unknown job ncll. Known: tests, steps"):
        choose(jobs, ["ncll"])


def test_the_study_uses_omniglot_if_available_and_drawn_vehicles_otherwise(tmp_path):
    def study():
        return next(list(job.arguments) for job in make_jobs(False, tmp_path, ["--seeds", "7"]) if job.name == "study")

    assert study()[-8:-2] == ["--dataset", "toycars", "--set", "input.height=64", "--set", "input.width=64"]
    (tmp_path / "omniglot").mkdir()
    assert "toycars" not in study()
    assert read_options(study()[2:]).seeds == 7  # explicit options come last and take precedence


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(STUDY, id="whole", marks=pytest.mark.slow), pytest.param(TINY_STUDY, id="miniature")],
)
def test_every_student_of_the_study_can_be_distilled(arguments):
    trials = [trial for trial in make_trials(read_options(arguments)) if trial.recipe.seed == 0]
    ways = {trial.recipe.distill.model_dump_json(): trial.recipe for trial in trials}
    for recipe in ways.values():
        check_student(recipe.input, recipe.network, recipe.teacher_network, recipe.distill)


def test_wheels_are_those_of_the_lock():
    locked = {}
    for line in (TOP / "requirements.lock").read_text().splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.12"}):
            locked[canonicalize_name(requirement.name)] = str(requirement.specifier)
    lines = [line for line in WHEELS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 5
    for requirement in map(Requirement, lines):
        assert str(requirement.specifier) == locked[canonicalize_name(requirement.name)]


def test_counts_of_tests_are_read():
    assert read_tests(JUNIT) == {"passed": 1, "failed": ["a::bad"], "skipped": ["a::none"]}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--json", "no/gpu.json"], "does not exist"),
        (["--json", "gpu.json", "--miniature", "--jobs", "all"], "Error: unknown job all."),
        (["--json", "gpu.json"], "Error: torch sees no CUDA device here."),
    ],
)
def test_bad_input_is_reported_in_one_line(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))  # which a miniature changes
    with pytest.raises(SystemExit) as ended:
        main()
    assert why in f"{ended.value.code}{capsys.readouterr().err}"
    assert not [*tmp_path.rglob("*.json")]


def test_ctrl_c_ends_in_a_line_and_keeps_what_was_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--json", str(tmp_path / "gpu.json"), "--miniature"])
    done = Outcome("tests", "a test", "python", "done")

    def stop(jobs, minutes, tell):
        tell([done])
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.gpu.run_jobs", stop)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "Stopped." in capsys.readouterr().err
    (job,) = json.loads((tmp_path / "gpu.json").read_text())["jobs"]
    assert job["status"] == "done"


def test_missing_packages_are_named_with_the_remedy(monkeypatch, tmp_path):
    wheels = tmp_path / "wheels.txt"
    wheels.write_text("# some\npytest==1.0\nno-such-library==2.0\n")
    monkeypatch.setattr("bench.gpu.WHEELS", wheels)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--json", str(tmp_path / "gpu.json")])
    with pytest.raises(SystemExit, match="not installed here: no-such-library.\n.*make carried"):
        main()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_miniature_runs_everything(tmp_path):
    command = [sys.executable, "-m", "bench.gpu", "--json", str(tmp_path / "gpu.json"), "--miniature"]
    ended = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert {job["name"]: job["status"] for job in written["jobs"]} == dict.fromkeys(ORDER, "done"), ended.stdout
    assert ended.returncode == 0
    figures = {job["name"]: job["figures"] for job in written["jobs"]}
    assert not figures["tests"]["failed"]
    precision = "bf16" if computes_in_bf16(torch.device("cpu")) else "fp32"
    assert {(row["task"], row["precision"]) for row in figures["steps"]["steps"]} >= {("CDD + RGGR", precision)}
    assert 0 < figures["rggr"]["masked"] < 1
    assert figures["rggr"]["judged_alike"] == {"fp32": 1, "fp64": 1}
    assert len(figures["study"]["runs"]) == 3
    assert figures["nccl"]["largest_difference"] < 1e-4
    assert str(tmp_path) not in json.dumps(written["jobs"])
