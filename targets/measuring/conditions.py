"""Under what conditions a machine measured: clocks, heat, other work; and whether it was throttled, which voids all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time
from typing import Any, ClassVar

from targets.machine import cgroup, sensors, tegrastats
from targets.machine.device import own_cores
from targets.nvidia.nvml import Gpu, open_gpu

ROOT = Path("/")
BUSY_CORES = 0.1  # of other processes, or withheld by a hypervisor: more, and times are no longer the model's own
BUSY_SHARE = 0.01  # of the cores, where that is more: many cores are never all idle
HELD_BACK = 0.01  # of a run that a control group's quota may hold it back


@dataclass(frozen=True)
class State:
    """A machine at one moment. What it does not tell is null."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    load_average: float | None
    """of the last minute, own work included; whether the machine was quiet before"""
    cpu_min_mhz: float | None
    """clock of the slowest core that the process may use; whether one was left idle or held back"""
    cpu_mean_mhz: float | None
    """mean over these cores; the clock that times belong to"""
    cpu_max_mhz: float | None
    """clock of the fastest of these cores; whether it was boosted"""
    gpu_mhz: float | None
    """clock of the GPU; an idle one makes times long"""
    gpu_memory_mhz: float | None
    """clock of an NVIDIA GPU's memory; an idle one makes times long, too"""
    temperatures_c: dict[str, float] | None
    """by sensor, °C; whether a run began cold and ended hot"""
    power_w: dict[str, float] | None
    """by rail of the board, or of the GPU, W; whether a limit was near"""
    slowed_by: list[str] | None
    """what slowed it down at that moment; empty if nothing did"""
    throttle_counts: dict[str, int] | None
    """how often it was slowed down since it started, by reason; a difference voids what was timed in between"""


@dataclass(frozen=True)
class Conditions:
    """A machine during a run. What it does not tell is null."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    cores: list[int]
    """numbers of those that the process was allowed to use; large and small ones differ"""
    governors: list[str] | None
    """who sets their clocks, each once; some keep them low"""
    power_mode: str | None
    """by nvpmodel on a Jetson, by the platform profile on a laptop; times in another mode do not compare"""
    before: State
    """the machine before the first call; from where the run started"""
    after: State
    """the machine right after the last call, its clocks those of a machine at work"""
    seconds: float
    """how long the run took, s; whether it was long enough to get hot"""
    other_work_cores: float | None
    """of these cores, how many other processes kept busy, on average over the run; whether to measure again"""
    stolen_cores: float | None
    """of these cores, how many a hypervisor withheld, on average over the run; whether to measure elsewhere"""
    throttled: str | None
    """why the figures do not count: what slowed the machine down during the run; null if nothing is known of it"""
    tells_throttling: bool
    """whether the machine would say that it is throttled; what null in `throttled` is worth"""
    held_back_s: float | None = None
    """how long the quota of a control group (a container's) held the process back during the run, s; its times are then
    the quota's; null where no group tells"""

    @property
    def disturbed(self) -> str | None:
        """Why times of this run make no claims, in words: other work, a hypervisor or a quota; none if nothing is known
        against them.
        """
        limit, cores = most_busy(len(self.cores)), len(self.cores)
        told = []
        if (self.other_work_cores or 0) > limit:
            told.append(f"other processes kept {self.other_work_cores:.2g} of {cores} cores busy")
        if (self.stolen_cores or 0) > limit:
            told.append(f"the hypervisor withheld {self.stolen_cores:.2g} of {cores} cores")
        if (self.held_back_s or 0) > HELD_BACK * self.seconds:
            told.append(f"the CPU quota of the control group held it back for {self.held_back_s:.2g} s")
        return "; ".join(told) or None


def most_busy(cores: int) -> float:
    """How many of so many cores others may keep busy, and the machine is still quiet."""
    return max(BUSY_CORES, BUSY_SHARE * cores)


def _slowed_by(root: Path, gpu: Gpu | None) -> list[str] | None:
    board, card = sensors.slowed_by(root), gpu.slowed_by if gpu else None
    return None if board is None and card is None else [*(board or []), *(card or [])]


def _throttle_counts(root: Path, cores: Sequence[int], gpu: Gpu | None) -> dict[str, int]:
    hot = gpu.hot_ms if gpu else None
    return sensors.throttle_counts(root, cores) | ({} if hot is None else {"GPU too hot (ms)": hot})


def read_state(root: Path = ROOT, cores: Sequence[int] = (), gpu: Gpu | None = None) -> State:
    """The machine now. On a Jetson tegrastats is asked for what sysfs does not say.

    Args:
        root: folder that holds `sys` and `proc`.
        cores: those whose clocks count; left out: all that this process may use.
        gpu: the NVIDIA GPU that computes, if one does.
    """
    cores = cores or own_cores()
    cpu_mhz = sensors.cpu_mhz(root, cores)
    gpu_mhz, temperatures, power = sensors.gpu_mhz(root), sensors.temperatures_c(root), sensors.power_w(root)
    if (board := tegrastats.read_once()) is not None:
        gpu_mhz = gpu_mhz or board.gpu_mhz
        temperatures = temperatures or dict(board.temperatures_c)
        power = power or dict(board.power_w)
    if gpu:
        gpu_mhz = gpu.clock_mhz
        temperatures |= {} if gpu.temperature_c is None else {"GPU": float(gpu.temperature_c)}
        power |= {} if gpu.power_w is None else {"GPU": gpu.power_w}
    return State(
        load_average=sensors.load_average(root),
        cpu_min_mhz=round(min(cpu_mhz), 1) if cpu_mhz else None,
        cpu_mean_mhz=round(fmean(cpu_mhz), 1) if cpu_mhz else None,
        cpu_max_mhz=round(max(cpu_mhz), 1) if cpu_mhz else None,
        gpu_mhz=gpu_mhz,
        gpu_memory_mhz=gpu.memory_mhz if gpu else None,
        temperatures_c=temperatures or None,
        power_w=power or None,
        slowed_by=_slowed_by(root, gpu),
        throttle_counts=_throttle_counts(root, cores, gpu) or None,
    )


def throttling(before: State, after: State, seen: Sequence[str] = ()) -> str | None:
    """What slowed a machine down between two moments, in words; none if nothing is known of it.

    Args:
        seen: what was found to slow it down in between.
    """
    now = dict.fromkeys([*(before.slowed_by or []), *seen, *(after.slowed_by or [])])
    first, last = before.throttle_counts or {}, after.throttle_counts or {}
    risen = [f"{reason} (+{last[reason] - first[reason]})" for reason in first if last.get(reason, 0) > first[reason]]
    return "; ".join([*now, *risen]) or None


class Watch:
    """Watches a machine from its making to `conditions`; `look` in between catches what comes and goes."""

    def __init__(self, gpu: str | None = None, root: Path = ROOT, cores: Sequence[int] = ()) -> None:
        """Begin.

        Args:
            gpu: PCI bus id of the NVIDIA GPU that computes, if one does, and not only sits there.
            root, cores: see `read_state`.
        """
        self._root, self._cores = root, list(cores) or own_cores()
        self._gpu = None if gpu is None else open_gpu(gpu)
        self._before = read_state(root, self._cores, self._gpu)
        self._seen: list[str] = []
        self._held_back = cgroup.throttled_seconds(root)
        self._busy, self._own, self._begun = sensors.busy_seconds(root, self._cores), process_time(), perf_counter()

    def look(self) -> None:
        """Note what slows the machine down now. Takes milliseconds: for pauses between timed calls."""
        self._seen += [reason for reason in _slowed_by(self._root, self._gpu) or [] if reason not in self._seen]

    def conditions(self) -> Conditions:
        """The record, up to now. Clocks are those of a machine at work only if this follows right on the work."""
        seconds, own = perf_counter() - self._begun, process_time() - self._own
        busy = sensors.busy_seconds(self._root, self._cores)
        after = read_state(self._root, self._cores, self._gpu)
        others = stolen = held_back = None
        if self._held_back is not None and (held := cgroup.throttled_seconds(self._root)) is not None:
            held_back = round(max(0.0, held - self._held_back), 3)
        if busy and self._busy and seconds > 0:
            others = round(max(0.0, busy[0] - self._busy[0] - own) / seconds, 2)
            stolen = round((busy[1] - self._busy[1]) / seconds, 2)
        return Conditions(
            cores=self._cores,
            governors=sensors.governors(self._root, self._cores) or None,
            power_mode=sensors.power_mode(self._root),
            before=self._before,
            after=after,
            seconds=round(seconds, 1),
            other_work_cores=others,
            stolen_cores=stolen,
            throttled=throttling(self._before, after, self._seen),
            tells_throttling=after.slowed_by is not None or after.throttle_counts is not None,
            held_back_s=held_back,
        )
