"""Output of `tegrastats` on a Jetson: one line per interval with all sensors.

Format: NVIDIA Jetson Linux Developer Guide, Tegrastats Utility. It varies with board and JetPack: rails as `now/mean`
or `now/mean/peak`, with and without `mW`; the GPU's clock as `0%@1109`, `0%@[114]`, `@[1000,1000]` or not at all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event, Thread
from time import perf_counter

INTERVAL_MS = 100
RAIL = re.compile(r"\b([A-Z][A-Z0-9_]+) (-?\d+)(?:mW)?(?:/-?\d+(?:mW)?){1,2}(?=\s|$)")
SENSOR = re.compile(r"(\w+)@(-?\d+(?:\.\d+)?)C\b")
GPU_CLOCKS = re.compile(r"GR3D_FREQ (?:\d+%)?@\[?([\d,]+)")
# Rails that are the board's total input, or that add up to it, by family of boards.
WHOLE = ("VIN", "VDD_IN", "POM_5V_IN")
PARTS = (("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"))


@dataclass(frozen=True)
class Sample:
    """One line: W by rail, °C by sensor, and the GPU's clock, of its fastest part."""

    power_w: Mapping[str, float]
    temperatures_c: Mapping[str, float]
    gpu_mhz: float | None


def parse(line: str) -> Sample:
    """Parse one line; missing values are empty. A sensor that is off (-256 °C) is left out."""
    clocks = GPU_CLOCKS.search(line)
    return Sample(
        power_w={rail: int(milliwatts) / 1000 for rail, milliwatts in RAIL.findall(line)},
        temperatures_c={name: float(value) for name, value in SENSOR.findall(line) if float(value) > -50},
        gpu_mhz=max(float(clock) for clock in clocks.group(1).split(",") if clock) if clocks else None,
    )


def input_power(rails: Mapping[str, float]) -> tuple[str, float] | None:
    """Name and power in W of the module's total input; None if its rails are not known to add up to it."""
    for rail in WHOLE:
        if rail in rails:
            return rail, rails[rail]
    for parts in PARTS:
        if all(rail in rails for rail in parts):
            return " + ".join(parts), sum(rails[rail] for rail in parts)
    return None


class Sampler:
    """Runs `tegrastats` inside a context and keeps its lines with their times."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, Sample]] = []
        self._seen = Event()

    def __enter__(self) -> Sampler:
        command = ["tegrastats", "--interval", str(INTERVAL_MS)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(2)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.samples.append((perf_counter(), parse(line)))
                self._seen.set()
        self._seen.set()

    def wait(self, seconds: float) -> None:
        """Wait until there is a sample, or there can't be one, for a limited time."""
        self._seen.wait(seconds)


def installed() -> bool:
    """Whether this machine has the command."""
    return shutil.which("tegrastats") is not None


def read_once() -> Sample | None:
    """One sample; None without tegrastats, or if it prints nothing for 2 seconds."""
    if not installed():
        return None
    try:
        with Sampler() as sampler:
            sampler.wait(2)
    except OSError:
        return None
    return sampler.samples[0][1] if sampler.samples else None
