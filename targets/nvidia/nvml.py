"""Sensors of a GPU from NVIDIA's management library, by `pynvml` (PyPI nvidia-ml-py) if that is installed.

Source: NVML API Reference, Device Queries.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

Answer = TypeVar("Answer")
# Bits of the clock event reasons that mean throttling below the settings: temperature and power supply. Reaching the
# power cap (bit 2) is normal under load, so it is not among them.
SLOWDOWNS = {
    0x8: "GPU hardware slowdown",
    0x20: "GPU too hot (software)",
    0x40: "GPU too hot (hardware)",
    0x80: "GPU power brake",
}


class Gpu:
    """One GPU. Unsupported values are None.

    Args:
        bus_id: PCI bus address, such as `0000:65:00.0`. CUDA and NVML number GPUs differently, and CUDA counts only
            visible ones; both know this address.
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
        """Temperature of the chip."""
        return self._ask(
            lambda: int(self._library.nvmlDeviceGetTemperature(self._handle, self._library.NVML_TEMPERATURE_GPU))
        )

    @property
    def power_w(self) -> float | None:
        """Power of the whole card."""
        return self._ask(lambda: float(self._library.nvmlDeviceGetPowerUsage(self._handle)) / 1000)

    @property
    def energy_j(self) -> float | None:
        """Energy of the whole card since the driver was loaded (Volta and newer)."""
        return self._ask(lambda: float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000)

    @property
    def slowed_by(self) -> list[str] | None:
        """What throttles it at this moment."""
        bits = self._ask(lambda: int(self._library.nvmlDeviceGetCurrentClocksEventReasons(self._handle)))
        if bits is None:  # its name before driver 535
            bits = self._ask(lambda: int(self._library.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle)))
        return None if bits is None else [reason for bit, reason in SLOWDOWNS.items() if bits & bit]

    @property
    def hot_ms(self) -> int | None:
        """How long temperature has limited its clocks since the driver was loaded, ms."""
        ask, heat = self._library.nvmlDeviceGetViolationStatus, self._library.NVML_PERF_POLICY_THERMAL
        return self._ask(lambda: int(ask(self._handle, heat).violationTime) // 1_000_000)


def open_gpu(bus_id: str) -> Gpu | None:
    """The GPU at a PCI bus address; None without pynvml, a driver or that GPU."""
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
        return Gpu(library, bus_id)
    except library.NVMLError:
        return None
