"""What machine this is, as a measurement has to say."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from targets.machine.cgroup import cpu_quota


@dataclass(frozen=True)
class Device:
    """A machine that measured something."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    name: str
    """as the board or the processor calls itself; so that times of two machines are not compared"""
    architecture: str
    """of the processor, as `x86_64` or `aarch64`; which artifacts and wheels it takes"""
    cores: int
    """that the process may use, by affinity and by its control group's quota; times on more or fewer do not compare"""
    memory_gib: float
    """of the whole machine, GiB; whether a device with less can be expected to do it; 0 where it does not tell"""
    system: str
    """operating system and its version; what to suspect if times of one machine change"""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _board() -> str | None:
    """Boards of the ARM kind name themselves in the device tree."""
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
    """How many cores this process can keep busy: those it may run on, and no more than its control group's quota pays
    for, without a part of one: a thread that the quota does not cover only makes the others wait.

    Args:
        root: folder that holds `sys` and `proc`.
    """
    quota, cores = cpu_quota(root), len(own_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def is_board(words: str | None) -> bool:
    """Whether this machine calls itself so; any does if no words are given."""
    return words is None or words.casefold() in this_device().name.casefold()


def cache_folder() -> Path:
    """`ZOO_CACHE`, or the user's cache folder: what runtimes keep to start faster. May be removed at any time."""
    if named := os.environ.get("ZOO_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


@cache
def this_device() -> Device:
    """The machine we are on."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = 0.0
    return Device(
        name=_board() or _processor(),
        architecture=platform.machine(),
        cores=usable_cores(),
        memory_gib=round(memory, 1),
        system=f"{platform.system()} {platform.release()}",
    )
