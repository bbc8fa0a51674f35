"""Jobs with a common deadline: none can take the others' time, or lose its figures."""

import sys
from time import sleep

import pytest

from bench.jobs import Job, run_job, run_jobs

WRITES = "import json, sys; json.dump({'there': 1}, open(sys.argv[1], 'w'));"


def job(name, code, seconds=5.0, **others):
    return Job(name, "a test", ["-c", code, "{out}"], seconds, **others)


def run(*jobs, minutes=1.0):
    told = []
    outcomes = run_jobs(jobs, minutes, lambda some: told.append([one.name for one in some]))
    assert told == [[one.name for one in outcomes[: place + 1]] for place in range(len(outcomes))]
    return outcomes


def test_a_job_that_fails_is_reported_and_the_others_continue():
    failing, fine = run(job("failing", f"{WRITES} sys.exit('it broke')"), job("fine", WRITES))
    assert (failing.status, failing.figures) == ("failed", {"there": 1})
    assert "it broke" in failing.said
    assert (fine.status, fine.figures) == ("done", {"there": 1})


def test_a_job_that_writes_nothing_or_half_has_no_figures():
    silent, half = run(job("silent", "pass"), job("half", "import sys; open(sys.argv[1], 'w').write('{')"))
    assert silent.figures is half.figures is None


def test_a_hanging_job_is_killed_with_its_children_and_keeps_its_figures(tmp_path):
    alive = tmp_path / "alive"
    child = f"import time\nwhile True: open({str(alive)!r}, 'w').write('x'); time.sleep(0.05)"
    code = f"{WRITES} import subprocess, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    outcome = run_job(job("hanging", code), 2)
    assert (outcome.status, outcome.figures) == ("cut off", {"there": 1})
    assert alive.exists()
    alive.unlink()
    sleep(0.3)
    assert not alive.exists()


def test_a_job_that_would_not_fit_is_skipped_and_says_why():
    long, short = run(job("long", WRITES, seconds=120), job("short", WRITES))
    assert (long.status, long.said) == ("skipped", "takes about 120 s, but 54 s were left")
    assert short.status == "done"


def test_temporary_paths_are_removed_from_outcomes():
    code = "import json, sys; print(sys.argv[1]); json.dump({'at': sys.argv[1]}, open(sys.argv[1], 'w'))"
    (outcome,) = run(job("telling", code))
    assert (outcome.figures, outcome.said) == ({"at": "{out}"}, "{out}\n")
    assert sys.executable not in outcome.command


@pytest.mark.parametrize(
    ("seconds", "greedy", "left", "behind", "allowed"),
    [
        (30, False, 500, 100, 60),
        (30, False, 40, 100, 40),
        (30, False, 20, 0, 0),
        (30, True, 500, 100, 400),
        (30, True, 110, 100, 30),
        (30, True, 20, 0, 0),
    ],
)
def test_a_job_gets_twice_its_estimate_and_a_greedy_one_what_the_others_leave(seconds, greedy, left, behind, allowed):
    assert job("any", "", seconds, greedy=greedy).allowance(left, behind) == allowed
