"""`zoo build --gpus N`: the same command in N processes, by torch's own launcher.

https://docs.pytorch.org/docs/stable/elastic/run.html; for several machines, run `torchrun … -m zoo build` on each.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import Interrupted, LaunchError, ProcessLost

logger = logging.getLogger(__name__)
RUN = "zoo-"  # prefix of the run's name, by which a process knows that `launch` started it


def check_gpus(count: int) -> None:
    """Check the number of GPUs.

    Raises:
        LaunchError: this machine has fewer.
    """
    import torch

    there = torch.cuda.device_count()
    if count > there:
        mend = f"Use --gpus {there}." if there else "Leave --gpus out to train on the CPU."
        raise LaunchError(f"--gpus {count}: torch sees {there or 'no'} CUDA device{'s' * (there != 1)} here. {mend}")


def launched_here() -> bool:
    """Whether `launch` started this process and reports the outcome of the build in its place."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN)


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `zoo ARGUMENTS` in `count` processes on this machine; return the exit code.

    The first process prints; another one prints an error only if the first has none.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", *logging.root.manager.loggerDict):  # each logger has its own level
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the error is printed already
    with tempfile.TemporaryDirectory(prefix=RUN) as logs:
        logger.debug("%d processes, whose output is kept in %s", count, logs)
        silent = dict.fromkeys(range(1, count), Std.ALL)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=Path(logs).name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=silent),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "zoo", *arguments)
        except ChildFailedError as failed:
            main = failed.failures.get(0)
            if main and main.exitcode > 0 and main.exitcode != ProcessLost.exit_code:
                return main.exitcode  # it ended by itself and has printed why
            said = _last_words(Path(logs))
            rank, failure = failed.get_first_failure()
            raise LaunchError(
                said
                or f"process {rank} ended with exit code {failure.exitcode} and no message; -9 means that memory ran "
                "out. Run the command again to continue from the last checkpoint."
            ) from None
        except SignalException:
            return Interrupted.exit_code  # the first process has printed where
    return 0


def _last_words(logs: Path) -> str:
    """The error that a silent process would have printed; empty if there is none."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(logs.rglob("stderr.log"))]
    words = [text.rpartition("Error: ")[2].strip() for text in texts if "\nError: " in f"\n{text}"]
    told = [word for word in words if word != str(ProcessLost())]
    # torch's own warnings may follow
    return "\n".join(line for line in told[0].splitlines() if not line.startswith("[")) if told else ""
