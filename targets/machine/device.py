"""Identity of this machine, for records of measurements."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from targets.machine.cgroup import cpu_quota
from targets.machine.processor import overflows_int8, processor_name


@dataclass(frozen=True)
class Device:
    """A machine that measured something."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    name: str
    """name of the board, or of the processor with its widest vector instructions; times of different machines do not
    compare"""
    architecture: str
    """of the processor, such as `x86_64` or `aarch64`; which artifacts and wheels it can run"""
    cores: int
    """cores that the process may use, by affinity and control group quota; times on other numbers do not compare"""
    memory_gib: float
    """memory of the whole machine, GiB; whether a smaller device may suffice; 0 if unknown"""
    system: str
    """operating system and version; what to suspect if times of one machine change"""


def _cpuinfo() -> str:
    """Linux's description of the processors; empty elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


@cache
def int8_overflows() -> bool:
    """Whether int8 kernels of this processor overflow with weights of 8 bits (see `targets.contract.weight_bits`).

    False where that is unknown.
    """
    return overflows_int8(_cpuinfo())


def _board() -> str | None:
    """Name of the board; ARM boards have it in the device tree."""
    try:
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return None


def own_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cores(root: Path = Path("/")) -> int:
    """Number of cores that this process can keep busy: those it may run on, limited by its control group's quota,
    rounded down, since a thread that exceeds the quota only makes the others wait.

    Args:
        root: folder that holds `sys` and `proc`.
    """
    quota, cores = cpu_quota(root), len(own_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def is_board(words: str | None) -> bool:
    """Whether this machine's name contains the words; True without words."""
    return words is None or words.casefold() in this_device().name.casefold()


def cache_folder() -> Path:
    """`ZOO_CACHE`, or the user's cache folder; runtimes start faster with it. May be removed at any time."""
    if named := os.environ.get("ZOO_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


@cache
def this_device() -> Device:
    """The current machine."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = 0.0
    return Device(
        name=_board() or processor_name(_cpuinfo()) or platform.processor() or "unknown processor",
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_gib=round(memory, 1),
        system=f"{platform.system()} {platform.release()}",
    )
