"""Jobs with a common deadline: commands in order of value, each with an estimated time, a limit and a result file.

A job that would not fit into the remaining time is skipped; one that exceeds its limit is killed with all its children;
one that fails is reported with the end of its output. The others continue. Results so far are reported after each job.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic
from typing import Any, Literal

TAIL = 6000  # characters kept of a job's output
GRACE_SECONDS = 3.0  # between terminating and killing a job
Status = Literal["done", "failed", "cut off", "skipped"]
Reader = Callable[[str], Any]


@dataclass(frozen=True)
class Job:
    """A command and its limits.

    `{out}` in `arguments` is replaced by a path that the job writes figures to, as often as it likes; `read` parses the
    file of that name with `suffix`. `seconds` is the estimated time. A job gets at most twice that; a `greedy` one gets
    all the time that the jobs after it are not expected to need.
    """

    name: str
    about: str
    arguments: Sequence[str]  # arguments of Python
    seconds: float
    greedy: bool = False
    suffix: str = ""
    read: Reader = json.loads
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command line, as one types it."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*settings, "python", shlex.join(self.arguments)])

    def allowance(self, left: float, behind: float) -> float:
        """Seconds that it gets when `left` remain and the jobs after it need `behind`; 0 if it would not fit."""
        if left < self.seconds:
            return 0.0
        return max(self.seconds, left - behind) if self.greedy else min(2 * self.seconds, left)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job. `said` is the end of its output, `figures` what it had written by then."""

    name: str
    about: str
    command: str
    status: Status
    seconds: float = 0.0
    allowed_seconds: float = 0.0
    figures: Any = None
    said: str = ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, which form a process group."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, order)
            process.wait(GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def run_job(job: Job, seconds: float) -> Outcome:
    """Run a job for at most a number of seconds."""
    begun = monotonic()
    with TemporaryDirectory() as folder, TemporaryFile() as said:
        out = Path(folder) / "figures"
        arguments = [argument.replace("{out}", str(out)) for argument in job.arguments]
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **job.environment},
            start_new_session=True,
        )
        status: Status = "cut off"
        try:
            status = "failed" if process.wait(seconds) else "done"
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)  # also children that a finished job left running
        try:
            figures = job.read(out.with_suffix(job.suffix).read_text("utf-8").replace(str(out), "{out}"))
        except (OSError, ValueError, SyntaxError):  # not written yet, or killed while writing
            figures = None
        said.seek(0)
        text = said.read().decode(errors="replace").replace(str(out), "{out}")[-TAIL:]
    return Outcome(job.name, job.about, job.command, status, round(monotonic() - begun, 1), seconds, figures, text)


def run_jobs(jobs: Sequence[Job], minutes: float, tell: Callable[[Sequence[Outcome]], None]) -> list[Outcome]:
    """Run jobs in order until `minutes` are over.

    Args:
        tell: is called with all outcomes so far, after each job.
    """
    end = monotonic() + 60 * minutes - 2 * GRACE_SECONDS
    outcomes: list[Outcome] = []
    for place, job in enumerate(jobs):
        left = end - monotonic()
        allowed = round(job.allowance(left, sum(other.seconds for other in jobs[place + 1 :])), 1)
        if allowed:
            outcomes.append(run_job(job, allowed))
        else:
            why = f"takes about {job.seconds:.0f} s, but {max(left, 0):.0f} s were left"
            outcomes.append(Outcome(job.name, job.about, job.command, "skipped", said=why))
        tell(outcomes)
    return outcomes
