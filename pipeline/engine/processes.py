"""Processes that build together: this one alone, or those that torch's launcher started on one or several machines.

All of them train; the first one does everything else. They share ZOO_HOME.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from pipeline.errors import LaunchError, ProcessLost
from targets.machine.device import own_cores, usable_cores

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

PATIENCE = timedelta(days=1)  # for the main process, which may compile and measure for hours


def launched() -> bool:
    """Whether torch's launcher started this process as one of several."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@dataclass(frozen=True)
class Processes:
    """Rank of this process among `count`; `device` is its own: `cpu`, `cuda` or `cuda:1`.

    Raises (every method):
        ProcessLost: another process ended.
    """

    device: str
    index: int = 0
    count: int = 1
    here: int = 1  # number of them on this machine
    group: ProcessGroup | None = None  # over the host's network: waiting occupies neither core nor GPU

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.index == 0

    def agree(self, text: str) -> bool:
        """Whether all processes pass the same text; waits for all."""
        if self.group is None:
            return True
        import torch
        from torch import distributed

        said = torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)
        heard = [torch.empty_like(said) for _ in range(self.count)]
        try:
            distributed.all_gather(heard, said, self.group)
        except RuntimeError:  # gloo raises no other class
            raise ProcessLost from None
        return all(torch.equal(one, said) for one in heard)

    def wait(self) -> None:
        """Wait for all processes."""
        self.agree("")

    def limit_threads(self) -> None:
        """Limit threads to a control group's quota, which torch ignores when it counts cores."""
        if "OMP_NUM_THREADS" in os.environ or usable_cores() == len(own_cores()):
            return
        import torch

        torch.set_num_threads(max(1, usable_cores() // self.here))

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run a block in the main process before the others."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def leave(self) -> None:
        """Leave together: a launcher stops the processes on other machines as soon as one has finished."""
        if self.group is not None:
            from torch import distributed

            self.wait()
            distributed.destroy_process_group()


def join(device: str) -> Processes:
    """Join the processes that were launched with this one.

    Args:
        device: `cpu` or `cuda`; each process on a machine takes one GPU.

    Raises:
        LaunchError: more processes than GPUs.
    """
    if not launched():
        return Processes(device)
    import torch
    from torch import distributed

    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda" and here > torch.cuda.device_count():
        raise LaunchError(
            f"{here} processes were started on this machine, but torch sees {torch.cuda.device_count()} CUDA devices: "
            "start one per device."
        )
    if device == "cuda":
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
        distributed.init_process_group("nccl", timeout=PATIENCE)
    else:
        own = torch.device("cpu")
        distributed.init_process_group("gloo", timeout=PATIENCE)
    group = cast("ProcessGroup", distributed.new_group(backend="gloo", timeout=PATIENCE))
    return Processes(str(own), distributed.get_rank(), distributed.get_world_size(), here, group)
