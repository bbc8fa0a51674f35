"""Fake machines: the files and commands of a laptop, a Raspberry Pi 5 and a Jetson Orin Nano."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from targets.machine.device import this_device

BUS_ID = "0000:65:00.0"  # of the GPU that NVML knows here
ORIN_NANO = (
    "06-18-2025 11:25:24 RAM 3452/7620MB (lfb 25x4MB) SWAP 1518/16384MB (cached 174MB) "
    "CPU [1%@1420,2%@1420,0%@1420,2%@1420,2%@729,1%@729] GR3D_FREQ 0% cpu@50.031C soc2@49.031C soc0@50C gpu@49.031C "
    "tj@50.25C soc1@50.25C VDD_IN 4824mW/4824mW VDD_CPU_GPU_CV 518mW/518mW VDD_SOC 1475mW/1475mW"
)


def write(root: Path, files: Mapping[str, object]) -> Path:
    """Make files below a root, each with a line feed as in sysfs."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def command(folder: Path, name: str, script: str) -> None:
    """Put a shell script where commands are looked for."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def stat(busy: int, idle: int, steal: int) -> str:
    """/proc/stat of two cores that are busy as users and as system, in ticks of 10 ms."""
    first, second = f"cpu0 {busy} 0 0 {idle} 0 0 0 {steal} 0 0", f"cpu1 0 0 {busy} {idle} 0 0 0 0 0 0"
    return f"cpu  1 0 0 1 0 0 0 0 0 0\n{first}\n{second}\nintr 5"


def clock(core: int, khz: int, governor: str) -> dict[str, object]:
    folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
    return {f"{folder}/scaling_cur_freq": khz, f"{folder}/scaling_governor": governor}


def laptop(root: Path) -> Path:
    """An x86 laptop with two cores."""
    cpu, hwmon, thermal = "sys/devices/system/cpu", "sys/class/hwmon", "sys/class/thermal"
    rapl = "sys/class/powercap/intel-rapl"
    return write(
        root,
        clock(0, 3_400_000, "powersave")
        | clock(1, 800_000, "performance")
        | {
            f"{cpu}/cpu0/thermal_throttle/core_throttle_count": 3,
            f"{cpu}/cpu1/thermal_throttle/core_throttle_count": 4,
            f"{cpu}/cpu0/thermal_throttle/package_throttle_count": 9,
            f"{cpu}/cpu1/thermal_throttle/package_throttle_count": 9,
            f"{hwmon}/hwmon3/name": "nvme",
            f"{hwmon}/hwmon3/temp1_input": 38850,
            f"{hwmon}/hwmon5/name": "coretemp",
            f"{hwmon}/hwmon5/temp1_input": 61000,
            f"{hwmon}/hwmon5/temp1_label": "Package id 0",
            f"{hwmon}/hwmon5/temp2_input": 60000,
            f"{hwmon}/hwmon5/temp2_label": "Core 0",
            f"{thermal}/thermal_zone0/type": "acpitz",
            f"{thermal}/thermal_zone0/temp": 27800,
            f"{thermal}/cooling_device0/type": "Processor",
            f"{thermal}/cooling_device0/cur_state": 0,
            f"{thermal}/cooling_device1/type": "intel_powerclamp",
            f"{thermal}/cooling_device1/cur_state": -1,
            f"{thermal}/cooling_device2/type": "Fan",
            f"{thermal}/cooling_device2/cur_state": 1,
            "sys/firmware/acpi/platform_profile": "balanced",
            f"{rapl}:0/name": "package-0",
            f"{rapl}:0/energy_uj": 261_000_000_000,
            f"{rapl}:0/max_energy_range_uj": 262_143_328_850,
            f"{rapl}:0:0/name": "core",
            f"{rapl}:0:0/energy_uj": 1_000_000,
            f"{rapl}:1/name": "psys",
            f"{rapl}:1/energy_uj": 2_000_000,
            "proc/loadavg": "0.52 0.48 0.40 2/1234 5678",
            "proc/stat": stat(100, 800, 10),
        },
    )


def raspberry(root: Path, commands: Path, throttled: str = "0x0") -> Path:
    """A Raspberry Pi 5: its firmware throttles, which only a command reports; it is cooled by a fan."""
    command(commands, "vcgencmd", f'[ "$1" = get_throttled ] && echo "throttled={throttled}"')
    thermal = "sys/class/thermal"
    return write(
        root,
        clock(0, 2_400_000, "ondemand")
        | clock(1, 2_400_000, "ondemand")
        | {
            f"{thermal}/thermal_zone0/type": "cpu-thermal",
            f"{thermal}/thermal_zone0/temp": 66100,
            f"{thermal}/cooling_device0/type": "pwm-fan",
            f"{thermal}/cooling_device0/cur_state": 3,
            "proc/loadavg": "4.00 3.10 1.20 5/200 999",
        },
    )


def jetson(root: Path, commands: Path) -> Path:
    """A Jetson Orin Nano with JetPack 6."""
    command(commands, "nvpmodel", "echo 'NVPM WARN: fan mode is not set!'; echo 'NV Power Mode: MAXN_SUPER'; echo 2")
    thermal, hwmon = "sys/class/thermal", "sys/class/hwmon"
    return write(
        root,
        clock(0, 1_728_000, "schedutil")
        | clock(1, 729_600, "schedutil")
        | {
            "sys/class/devfreq/17000000.gpu/cur_freq": 1_020_000_000,
            "sys/class/devfreq/15340000.vic/cur_freq": 1_100_000_000,
            f"{thermal}/thermal_zone0/type": "cpu-thermal",
            f"{thermal}/thermal_zone0/temp": 52968,
            f"{thermal}/thermal_zone1/type": "cv0-thermal",
            f"{thermal}/thermal_zone1/temp": -256000,
            f"{thermal}/cooling_device0/type": "cpufreq-cpu0",
            f"{thermal}/cooling_device0/cur_state": 0,
            f"{thermal}/cooling_device1/type": "gpu-throttle-alert",
            f"{thermal}/cooling_device1/cur_state": 0,
            f"{hwmon}/hwmon1/name": "ina3221",
            f"{hwmon}/hwmon1/in1_label": "VDD_IN",
            f"{hwmon}/hwmon1/in1_input": 5000,
            f"{hwmon}/hwmon1/curr1_input": 1840,
            f"{hwmon}/hwmon1/in2_label": "VDD_CPU_GPU_CV",
            f"{hwmon}/hwmon1/in2_input": 5000,
            f"{hwmon}/hwmon1/curr2_input": 400,
            f"{hwmon}/hwmon2/name": "soctherm_oc",
            f"{hwmon}/hwmon2/oc1_event_cnt": 0,
            f"{hwmon}/hwmon2/oc3_event_cnt": 7,
            "proc/loadavg": "1.00 1.00 1.00 1/300 77",
        },
    )


def jetson_here(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str | None, l4t: str | None = None) -> None:
    """Make this machine look like a Jetson: its name, and its release of Jetson Linux, such as 36.4.3."""
    release = folder / "nv_tegra_release"
    if l4t:
        major, _, rest = l4t.partition(".")
        release.write_text(f"# R{major} (release), REVISION: {rest}, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    monkeypatch.setattr("targets.nvidia.jetpacks.TEGRA", release)
    if name:
        here = dataclasses.replace(this_device(), name=name)
        for module in ("targets.machine.device", "targets.nvidia.tensorrt", "targets.bundles.program", "zoo.doctor"):
            monkeypatch.setattr(f"{module}.this_device", lambda: here)


class Library:
    """A fake pynvml of a busy GPU."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU, NVML_PERF_POLICY_THERMAL = 1, 2, 0, 1

    def __init__(self, reasons: int = 0x4) -> None:
        self.reasons, self.hot_ns, self.energy_mj = reasons, 0, 0

    def nvmlInit(self) -> None:
        """As in pynvml."""

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: bytes) -> bytes:
        if bus_id != BUS_ID.encode():
            raise self.NVMLError("not found")
        return bus_id

    def nvmlDeviceGetClockInfo(self, _handle: int, kind: int) -> int:
        return {1: 2505, 2: 9001}[kind]

    def nvmlDeviceGetTemperature(self, _handle: int, _sensor: int) -> int:
        return 71

    def nvmlDeviceGetPowerUsage(self, _handle: int) -> int:
        raise self.NVMLError("not supported")

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle: int) -> int:
        return self.energy_mj

    def nvmlDeviceGetCurrentClocksEventReasons(self, _handle: int) -> int:
        raise self.NVMLError("function not found")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: int) -> int:
        return self.reasons

    def nvmlDeviceGetViolationStatus(self, _handle: int, _policy: int) -> object:
        return type("Violation", (), {"violationTime": self.hot_ns})
