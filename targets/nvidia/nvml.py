"""What NVIDIA's management library tells of a GPU; by `pynvml` (PyPI nvidia-ml-py), where that is installed.

Source: NVML API Reference, Device Queries.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

Answer = TypeVar("Answer")
# Bits of the clock event reasons that mean less than the settings allow: heat and power supply. A power cap that is
# reached (bit 2) is how a GPU is meant to run under load, so it is none of them.
SLOWDOWNS = {
    0x8: "GPU hardware slowdown",
    0x20: "GPU too hot (software)",
    0x40: "GPU too hot (hardware)",
    0x80: "GPU power brake",
}


class Gpu:
    """One GPU. What it does not support is none.

    Args:
        bus_id: where it is on the PCI bus, as `0000:65:00.0`. CUDA and NVML number GPUs in orders of their own, and
            CUDA only those that it is let see: this is the name that both know.
    """

    def __init__(self, library: Any, bus_id: str) -> None:
        self._library = library
        self._handle = library.nvmlDeviceGetHandleByPciBusId(bus_id.encode())

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        try:
            return question()
        except (self._library.NVMLError, AttributeError):
            return None

    @property
    def clock_mhz(self) -> int | None:
        """Clock of the multiprocessors."""
        return self._ask(lambda: int(self._library.nvmlDeviceGetClockInfo(self._handle, self._library.NVML_CLOCK_SM)))

    @property
    def memory_mhz(self) -> int | None:
        """Clock of its memory."""
        return self._ask(lambda: int(self._library.nvmlDeviceGetClockInfo(self._handle, self._library.NVML_CLOCK_MEM)))

    @property
    def temperature_c(self) -> int | None:
        """Of the chip."""
        return self._ask(
            lambda: int(self._library.nvmlDeviceGetTemperature(self._handle, self._library.NVML_TEMPERATURE_GPU))
        )

    @property
    def power_w(self) -> float | None:
        """Of the whole card."""
        return self._ask(lambda: float(self._library.nvmlDeviceGetPowerUsage(self._handle)) / 1000)

    @property
    def energy_j(self) -> float | None:
        """Since the driver was loaded, of the whole card (Volta and newer)."""
        return self._ask(lambda: float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000)

    @property
    def slowed_by(self) -> list[str] | None:
        """What slows it down at this moment."""
        bits = self._ask(lambda: int(self._library.nvmlDeviceGetCurrentClocksEventReasons(self._handle)))
        if bits is None:  # its name before driver 535
            bits = self._ask(lambda: int(self._library.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)))
        return None if bits is None else [reason for bit, reason in SLOWDOWNS.items() if bits & bit]

    @property
    def hot_ms(self) -> int | None:
        """How long heat has held it below its clocks, since the driver was loaded, ms."""
        ask, heat = self._library.nvmlDeviceGetViolationStatus, self._library.NVML_PERF_POLICY_THERMAL
        return self._ask(lambda: int(ask(self._handle, heat).violationTime) // 1_000_000)


def open_gpu(bus_id: str) -> Gpu | None:
    """The GPU at a place on the PCI bus; none without pynvml, a driver or that GPU."""
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
        return Gpu(library, bus_id)
    except library.NVMLError:
        return None
