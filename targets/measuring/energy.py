"""Energy per image, if the machine has a meter: RAPL, NVML or a Jetson's power monitor, each with its own scope."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol

import numpy as np

from targets.contract import Session
from targets.machine import sensors, tegrastats
from targets.measuring.conditions import Watch
from targets.nvidia.nvml import Gpu, open_gpu

SECONDS = 2.0  # a meter's counter moves in steps: of 1 ms with RAPL, of up to 100 ms with NVML and tegrastats
CALLS = 3  # at least
LOOK_SECONDS = 0.25  # between checks for throttling, which take milliseconds that the figure includes
SAMPLES = 5  # fewest samples of tegrastats


@dataclass(frozen=True)
class Energy:
    """Energy per image of one artifact at one batch size, including everything the meter covers, idle parts too."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "use_attribute_docstrings": True}

    mj_per_image: float
    """energy of whole calls ÷ images, mJ, in a separate block after the timed calls; how long a battery lasts"""
    source: str
    """the meter and its scope; figures of different meters do not compare"""
    images: int
    """number of images in that block; the size of the average"""
    seconds: float
    """duration of the block, s; long compared with the meter's steps"""


class Meter(Protocol):
    """A context manager: `joules` is the energy used inside it, or None if unknown."""

    @property
    def source(self) -> str:
        """The meter and its scope."""

    joules: float | None

    def __enter__(self) -> Meter: ...

    def __exit__(self, *_: object) -> None: ...


class Rapl:
    """Running average power limit: counters of CPU packages in µJ, which wrap at `max_energy_range_uj`.

    Source: the kernel's Documentation/power/powercap. Since Linux 5.10 only root may read them.
    """

    source = "RAPL: CPU packages without memory"

    def __init__(self, root: Path) -> None:
        zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
        self.zones = [zone for zone in zones if (sensors.text(zone / "name") or "").startswith("package-")]
        self.joules: float | None = None

    def read(self) -> list[float] | None:
        """µJ of every package; None if there is none, or one is not readable."""
        found = [sensors.number(zone / "energy_uj") for zone in self.zones]
        told = [value for value in found if value is not None]
        return told if told and len(told) == len(found) else None

    def __enter__(self) -> Rapl:
        self._begun = self.read()
        return self

    def __exit__(self, *_: object) -> None:
        ended, self.joules = self.read(), None
        if self._begun and ended:
            ranges = [sensors.number(zone / "max_energy_range_uj") or 0.0 for zone in self.zones]
            used = [
                last - first + (0.0 if last >= first else most)
                for first, last, most in zip(self._begun, ended, ranges, strict=True)
            ]
            self.joules = sum(used) / 1e6 if min(used) >= 0 else None


class Nvml:
    """The energy counter of an NVIDIA GPU."""

    source = "NVML: the GPU's card without the host"

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.joules: float | None = None

    def __enter__(self) -> Nvml:
        self._begun = self._gpu.energy_j
        return self

    def __exit__(self, *_: object) -> None:
        ended = self._gpu.energy_j
        self.joules = None if ended is None or self._begun is None else ended - self._begun


class Jetson:
    """A Jetson's power monitor, by tegrastats: mean of its samples × time."""

    def __init__(self, rails: str) -> None:
        self.source = f"tegrastats: the whole module ({rails})"
        self.joules: float | None = None

    def __enter__(self) -> Jetson:
        self._sampler = tegrastats.Sampler().__enter__()
        self._sampler.wait(2)
        self._begun = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        ended = perf_counter()
        self._sampler.__exit__()
        inside = [sample for time, sample in self._sampler.samples if self._begun < time <= ended]
        powers = [found[1] for found in (tegrastats.input_power(sample.power_w) for sample in inside) if found]
        self.joules = sum(powers) / len(powers) * (ended - self._begun) if len(powers) >= SAMPLES else None


def find_meter(gpu: str | None = None, root: Path = Path("/")) -> Meter | None:
    """The meter of the processor in use; None if the machine has none, or it is not readable.

    Args:
        gpu: PCI bus id of the NVIDIA GPU that computes, if any; a CPU's meter would miss it.
        root: folder that holds `sys`.
    """
    board = tegrastats.read_once()
    found = board and tegrastats.input_power(board.power_w)
    if found:
        return Jetson(found[0])
    if gpu is not None:
        card = open_gpu(gpu)
        return Nvml(card) if card and card.energy_j is not None else None
    rapl = Rapl(root)
    return rapl if rapl.read() else None


def measure_energy(
    meter: Meter, session: Session, images: np.ndarray, seconds: float = SECONDS, watch: Watch | None = None
) -> Energy | None:
    """Energy per image, over consecutive calls; None if the meter fails, or the figure is not the model's own because
    the machine was throttled or other processes ran.

    Args:
        images: uint8 N×H×W×3, the batch of every call.
        seconds: shortest time to call for, with at least three calls.
        watch: a fresh one, for this block.
    """
    session.embed(images)
    calls = 0
    with meter:
        begun = looked = perf_counter()
        while calls < CALLS or perf_counter() - begun < seconds:
            session.embed(images)
            calls += 1
            if watch and perf_counter() - looked > LOOK_SECONDS:
                watch.look()
                looked = perf_counter()
        took = perf_counter() - begun
    conditions = watch.conditions() if watch else None
    if conditions and (conditions.throttled or conditions.disturbed):
        return None
    if not meter.joules or meter.joules < 0:
        return None
    count = calls * len(images)
    return Energy(round(1000 * meter.joules / count, 3), meter.source, count, round(took, 2))
