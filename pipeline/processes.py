"""Processes that build together: this one alone, or those that torch's launcher started on one machine or several.

All of them train; the first one does everything else. They share ZOO_HOME.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import PartialState

PATIENCE = timedelta(days=1)  # while others train, measure or read; a process that died ends all by the launcher


def launched() -> bool:
    """Whether torch's launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@dataclass(frozen=True)
class Processes:
    """Where this process stands among `count`; `device` is its own: `cpu`, `cuda` or `cuda:1`."""

    device: str
    index: int = 0
    count: int = 1
    here: int = 1  # how many of them are on this machine
    state: PartialState | None = None

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.index == 0

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.state:
            self.state.wait_for_everyone()

    def leave(self) -> None:
        """Say goodbye to the others, who may be gone."""
        if self.state:
            self.state.destroy_process_group()

    def main_first(self) -> AbstractContextManager[None]:
        """A block that the main process goes through before the others."""
        return self.state.main_process_first() if self.state else nullcontext()

    def agree(self, text: str) -> bool:
        """Whether all processes say the same."""
        if not self.state:
            return True
        import torch
        from torch import distributed

        said = torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8).to(self.device)
        heard = [torch.empty_like(said) for _ in range(self.count)]
        distributed.all_gather(heard, said)
        return all(torch.equal(one, said) for one in heard)


def join(device: str) -> Processes:
    """This process among those that were launched with it.

    Args:
        device: `cpu` or `cuda`, of which each process on a machine takes one.
    """
    if not launched():
        return Processes(device)
    from accelerate import PartialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the number of threads, when none was set
        state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Processes(str(state.device), state.process_index, state.num_processes, here, state)
