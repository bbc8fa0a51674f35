"""Conditions of a measurement: clocks, temperature, other work, and throttling, which makes its times void."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time
from typing import Any, ClassVar

from targets.machine import cgroup, sensors, tegrastats
from targets.machine.device import own_cores
from targets.nvidia.nvml import Gpu, open_gpu

ROOT = Path("/")
BUSY_CORES = 0.1  # of other processes, or withheld by a hypervisor: above this, times are not the model's own
BUSY_SHARE = 0.01  # of the cores, if that is more: many cores are never all idle
HELD_BACK = 0.01  # of a run, for which a control group's quota may throttle it


@dataclass(frozen=True)
class State:
    """State of a machine at one moment. Unknown values are null."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    load_average: float | None
    """load of the last minute, own work included; whether the machine was idle before"""
    cpu_min_mhz: float | None
    """clock of the slowest core that the process may use; whether one was idle or throttled"""
    cpu_mean_mhz: float | None
    """mean clock of these cores; the clock of the times"""
    cpu_max_mhz: float | None
    """clock of the fastest of these cores; whether it was boosted"""
    gpu_mhz: float | None
    """clock of the GPU; an idle GPU makes times longer"""
    gpu_memory_mhz: float | None
    """clock of an NVIDIA GPU's memory; idle memory makes times longer, too"""
    temperatures_c: dict[str, float] | None
    """temperature by sensor, °C; whether a run began cold and ended hot"""
    power_w: dict[str, float] | None
    """power by rail of the board, or of the GPU, W; whether a limit was near"""
    slowed_by: list[str] | None
    """what throttled it at that moment; empty if nothing did"""
    throttle_counts: dict[str, int] | None
    """how often it was throttled since boot, by reason; a difference makes the times in between void"""


@dataclass(frozen=True)
class Conditions:
    """Conditions of a machine during a run. Unknown values are null."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    cores: list[int]
    """numbers of the cores that the process may use; large and small cores differ"""
    governors: list[str] | None
    """governors of their clocks, each once; some keep clocks low"""
    power_mode: str | None
    """mode of nvpmodel on a Jetson, platform profile on a laptop; times in another mode do not compare"""
    before: State
    """the machine before the first call; the state at the start"""
    after: State
    """the machine right after the last call, with clocks under load"""
    seconds: float
    """duration of the run, s; whether it was long enough to get hot"""
    other_work_cores: float | None
    """how many of these cores other processes kept busy, averaged over the run; whether to measure again"""
    stolen_cores: float | None
    """how many of these cores a hypervisor withheld, averaged over the run; whether to measure elsewhere"""
    throttled: str | None
    """what throttled the machine during the run, so that its times do not count; null if nothing is known"""
    tells_throttling: bool
    """whether the machine reports throttling; how reliable null in `throttled` is"""
    held_back_s: float | None = None
    """how long the quota of a control group (such as a container's) throttled the process during the run, s; times then
    reflect the quota; null without such a group"""

    @property
    def disturbed(self) -> str | None:
        """Why times of this run are unreliable, in words: other work, a hypervisor or a quota; None if nothing is known
        against them.
        """
        limit, cores = most_busy(len(self.cores)), len(self.cores)
        told = []
        if (self.other_work_cores or 0) > limit:
            told.append(f"other processes kept {self.other_work_cores:.2g} of {cores} cores busy")
        if (self.stolen_cores or 0) > limit:
            told.append(f"the hypervisor withheld {self.stolen_cores:.2g} of {cores} cores")
        if (self.held_back_s or 0) > HELD_BACK * self.seconds:
            told.append(f"the CPU quota of the control group throttled it for {self.held_back_s:.2g} s")
        return "; ".join(told) or None


def most_busy(cores: int) -> float:
    """How many of some cores other processes may keep busy while the machine still counts as idle."""
    return max(BUSY_CORES, BUSY_SHARE * cores)


def _slowed_by(root: Path, gpu: Gpu | None) -> list[str] | None:
    board, card = sensors.slowed_by(root), gpu.slowed_by if gpu else None
    return None if board is None and card is None else [*(board or []), *(card or [])]


def _throttle_counts(root: Path, cores: Sequence[int], gpu: Gpu | None) -> dict[str, int]:
    hot = gpu.hot_ms if gpu else None
    return sensors.throttle_counts(root, cores) | ({} if hot is None else {"GPU too hot (ms)": hot})


def read_state(root: Path = ROOT, cores: Sequence[int] = (), gpu: Gpu | None = None) -> State:
    """Read the current state. On a Jetson, tegrastats supplies what sysfs lacks.

    Args:
        root: folder that holds `sys` and `proc`.
        cores: cores whose clocks count; by default all that this process may use.
        gpu: the NVIDIA GPU that computes, if any.
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
    """What throttled a machine between two states, in words; None if nothing is known.

    Args:
        seen: what was observed to throttle it in between.
    """
    now = dict.fromkeys([*(before.slowed_by or []), *seen, *(after.slowed_by or [])])
    first, last = before.throttle_counts or {}, after.throttle_counts or {}
    risen = [f"{reason} (+{last[reason] - first[reason]})" for reason in first if last.get(reason, 0) > first[reason]]
    return "; ".join([*now, *risen]) or None


class Watch:
    """Watches a machine from its creation until `conditions`; `look` in between catches short events."""

    def __init__(
        self,
        gpu: str | None = None,
        root: Path = ROOT,
        cores: Sequence[int] = (),
        processes: Iterable[int] = (),
    ) -> None:
        """Begin.

        Args:
            gpu: PCI bus id of the NVIDIA GPU that computes, if any.
            root, cores: see `read_state`.
            processes: ids of other processes that do the run's own work, see `targets.contract.ProcessSession`.
        """
        self._processes = tuple(processes)
        self._root, self._cores = root, list(cores) or own_cores()
        self._gpu = None if gpu is None else open_gpu(gpu)
        self._before = read_state(root, self._cores, self._gpu)
        self._seen: list[str] = []
        self._held_back = cgroup.throttled_seconds(root)
        self._busy, self._own = sensors.busy_seconds(root, self._cores), self._own_seconds()
        self._begun = perf_counter()

    def _own_seconds(self) -> float:
        """CPU time of the run's own work so far, s."""
        return process_time() + sensors.tree_seconds(self._root, self._processes)

    def look(self) -> None:
        """Record what throttles the machine now. Takes milliseconds, so call it between timed calls."""
        self._seen += [reason for reason in _slowed_by(self._root, self._gpu) or [] if reason not in self._seen]

    def conditions(self) -> Conditions:
        """The conditions so far. Call it right after the work, so that clocks are those under load."""
        seconds, own = perf_counter() - self._begun, self._own_seconds() - self._own
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
