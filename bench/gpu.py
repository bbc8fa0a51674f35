"""All benchmarks that need a GPU, in order of value, with one deadline, into one JSON file.

    python -m bench.gpu --json gpu.json                              everything, within 9 minutes
    python -m bench.gpu --json gpu.json --jobs steps study --minutes 20
    python -m bench.gpu --json gpu.json --study '--recipes study-cdd-rggr study-narrow --seeds 5'
    python -m bench.gpu --json gpu.json --miniature                  the same jobs, tiny: 80 s of a CPU's time

Each job is a command that can be run alone; the file holds its command line and its figures, or the reason why there
are none. It is rewritten after each job. Estimated times are for an H100; the study takes the remaining time, and its
results so far are in the file. For a machine without network, see docs/results/README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.jobs import Job, Outcome, run_jobs

TOP = Path(__file__).parents[1]
WHEELS = TOP / "bench" / "gpu-wheels.txt"
ALONE = {"OMP_NUM_THREADS": "1"}  # threads of several processes would compete while spinning
TINY = ("--architecture", "resnet10t", "--size", "32")
STUDY = shlex.split(
    "--seeds 1 --parallel 6 --recipes study-prune study-torch-pruning-taylor study-torch-pruning-l1 study-uniform-l1 "
    "study-cdd-rggr"
)
TINY_STUDY = shlex.split(
    "--dataset toycars --seeds 1 --recipes study-cdd-rggr study-prune --small regnetx_002 --parallel 2 "
    "--set input.height=16 --set input.width=16 --set teacher.epochs=1 "
    "--set teacher.precision=fp32 --set distill.precision=fp32"
)


def read_tests(text: str) -> dict[str, Any]:
    """Counts and failed tests from pytest's JUnit file."""
    cases = [*ElementTree.fromstring(text).iter("testcase")]

    def those(kind: str) -> list[str]:
        return [f"{case.get('classname')}::{case.get('name')}" for case in cases if case.find(kind) is not None]

    failed, skipped = [*those("failure"), *those("error")], those("skipped")
    return {"passed": len(cases) - len(failed) - len(skipped), "failed": failed, "skipped": skipped}


def gpu_tests() -> list[str]:
    """Test files with GPU tests; others may need packages that are not installed."""
    files = sorted((TOP / "tests").rglob("test_*.py"))
    return [str(file.relative_to(TOP)) for file in files if re.search(r"\bmark\.gpu\b", file.read_text("utf-8"))]


def studied_data(data_root: Path) -> list[str]:
    """Options of the study: Omniglot, or the drawn vehicles without it."""
    from zoo.catalogue import load_catalogue

    if (data_root / load_catalogue().datasets["omniglot"].path).is_dir():
        return ["--data-root", os.path.relpath(data_root, TOP)]
    return ["--dataset", "toycars", "--set", "input.height=64", "--set", "input.width=64"]


def make_jobs(miniature: bool, data_root: Path, study: Sequence[str]) -> list[Job]:
    """All jobs, most valuable first.

    Args:
        study: further options of `bench.study`, appended so that they take precedence.
    """
    tiny = TINY if miniature else ()
    studied = TINY_STUDY if miniature else [*STUDY, *studied_data(data_root)]
    rtx = ["--runtime", "onnxruntime", *tiny, "--calls", "5"] if miniature else []
    jobs = [
        Job(
            "tests",
            "GPU tests",
            ["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", "--junitxml={out}", *gpu_tests()],
            seconds=60,
            read=read_tests,
        ),
        Job(
            "steps",
            "a training step of ResNet-50 at 256×256, and the wait for images",
            ["-m", "bench.train", "--json", "{out}", "--no-compile", "--steps"]
            + (["1", "--batch", "8", *tiny] if miniature else ["20"]),
            seconds=90,
        ),
        Job(
            "rggr",
            "RGGR compared with a literal version in double precision, and as a share of a step",
            ["-m", "bench.rggr", "--json", "{out}"]
            + (["--batch", "8", "--rows", "200", "--repeats", "1", *tiny] if miniature else []),
            seconds=35,
        ),
        Job(
            "study",
            "methods of compression at equal MACs, several trainings at a time",
            ["-m", "bench.study", "--out", "{out}", *studied, *study],
            seconds=90,
            greedy=True,
            suffix=".json",
            environment=ALONE,
        ),
        Job(
            "rtx",
            "TensorRT-RTX builds and runs an engine for this GPU",
            ["-m", "bench.rtx", "--json", "{out}", *rtx],
            seconds=45,
        ),
        Job(
            "nccl",
            "one process with NCCL trains like one without",
            ["-m", "bench.nccl", "--json", "{out}", *(["--batch", "8", "--steps", "1", *tiny] if miniature else [])],
            seconds=30,
        ),
    ]
    if miniature:
        return [Job(**{**vars(job), "seconds": 60.0, "environment": ALONE}) for job in jobs]
    return jobs


def missing_packages() -> list[str]:
    """Packages of gpu-wheels.txt that are not installed, in any version."""
    missing = []
    for name in re.findall(r"^([\w-]+)==", WHEELS.read_text("utf-8"), re.MULTILINE):
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="write all results here, after each job")
    parser.add_argument("--minutes", type=float, default=9.0, help="deadline; default: 9")
    parser.add_argument("--jobs", nargs="+", metavar="NAME", help="run only these, in the usual order")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder that holds omniglot/")
    parser.add_argument("--study", type=shlex.split, default=[], metavar="OPTIONS", help="more options of bench.study")
    parser.add_argument("--miniature", action="store_true", help="tiny sizes, to try it; the figures are meaningless")
    options = parser.parse_args()
    options.json, options.data_root = options.json.absolute(), options.data_root.absolute()  # the folder changes below
    if not options.json.parent.is_dir():
        parser.error(f"--json: the folder {options.json.parent} does not exist")
    return options


def choose(jobs: list[Job], names: list[str] | None) -> list[Job]:
    """The jobs of these names, or all."""
    unknown = sorted({*(names or ())} - {job.name for job in jobs})
    if unknown:
        sys.exit(f"Error: unknown job {', '.join(unknown)}. Known: {', '.join(job.name for job in jobs)}.")
    return [job for job in jobs if names is None or job.name in names]


def show(outcome: Outcome) -> None:
    """Print one line, and the output of a job that did not succeed."""
    print(f"{outcome.name:8}{outcome.status:9}{outcome.seconds:7.1f} s   {outcome.about}", flush=True)
    for line in outcome.said.splitlines()[-5:] if outcome.status != "done" else ():
        print(f"    {line}", flush=True)


def run(options: argparse.Namespace) -> bool:
    """Run the jobs; return whether all succeeded."""
    import json

    from bench.figures import command, machine
    from pipeline.files import write_text

    jobs = choose(make_jobs(options.miniature, options.data_root, options.study), options.jobs)
    about = {
        "command": command(),
        "miniature": options.miniature,
        "minutes": options.minutes,
        **machine(),
        "seed": "0 everywhere; the study's seeds are with its runs",
    }

    def tell(outcomes: Sequence[Outcome]) -> None:
        show(outcomes[-1])
        write_text(options.json, json.dumps({**about, "jobs": [asdict(one) for one in outcomes]}, indent=2) + "\n")

    return all(outcome.status == "done" for outcome in run_jobs(jobs, options.minutes, tell))


def main() -> None:
    """Check that it can run, run, and exit with 1 if anything is missing."""
    options = read_options()
    missing = missing_packages()
    if missing:
        sys.exit(
            f"Error: not installed here: {', '.join(missing)}.\n"
            "Copy them as wheels (make carried), then run: pip install --no-index --no-deps carried/*.whl"
        )
    import torch

    if not torch.cuda.is_available() and not options.miniature:
        sys.exit("Error: torch sees no CUDA device here. Run it on a machine with a GPU, or try it with --miniature.")
    os.chdir(TOP)
    with TemporaryDirectory() as home:
        if options.miniature:
            os.environ["ZOO_HOME"] = home  # tiny results do not stay in the store
        try:
            sys.exit(int(not run(options)))
        except KeyboardInterrupt:
            print(f"Stopped. Results so far are in {options.json}.", file=sys.stderr)
            sys.exit(130)


if __name__ == "__main__":
    main()
