"""`zoo build --gpus N`: the same command in N processes, by torch's own launcher.

https://docs.pytorch.org/docs/stable/elastic/run.html; several machines run `torchrun … -m zoo build` themselves.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import Interrupted, LaunchError, ProcessLost

RUN = "zoo-"  # how the name of a run begins, by which a process knows that it was launched here


def check_gpus(count: int) -> None:
    """See whether there are so many GPUs.

    Raises:
        LaunchError: there are fewer.
    """
    import torch

    there = torch.cuda.device_count()
    if count > there:
        mend = f"Use --gpus {there}." if there else "Leave --gpus out to train on the CPU."
        raise LaunchError(f"--gpus {count}: torch sees {there or 'no'} CUDA device{'s' * (there != 1)} here. {mend}")


def launched_here() -> bool:
    """Whether `launch` started this process, and will say in its place what became of the build."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(RUN)


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `zoo ARGUMENTS` in `count` processes on this machine; the exit code.

    The first process speaks; of the others only an error is heard, if the first did not meet it.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", *logging.root.manager.loggerDict):  # each has a level of its own
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it would tell what was told already
    with tempfile.TemporaryDirectory(prefix=RUN) as logs:
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
                return main.exitcode  # it ended by itself and has said why
            said = _last_words(Path(logs))
            rank, failure = failed.get_first_failure()
            raise LaunchError(
                said
                or f"process {rank} ended with {failure.exitcode} and without a word; if that is -9, the machine ran "
                "out of memory. The same command goes on from the last checkpoint."
            ) from None
        except SignalException:
            return Interrupted.exit_code  # the first process has said where
    return 0


def _last_words(logs: Path) -> str:
    """The error that a silent process would have shown; empty if none did."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(logs.rglob("stderr.log"))]
    words = [text.rpartition("Error: ")[2].strip() for text in texts if "\nError: " in f"\n{text}"]
    told = [word for word in words if word != str(ProcessLost())]
    # torch's own warnings may follow
    return "\n".join(line for line in told[0].splitlines() if not line.startswith("[")) if told else ""
