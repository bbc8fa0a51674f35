"""Linux's sensors of a board: clocks, temperatures, power, throttling. All paths are below a root, usually `/`.

Sources: the kernel's Documentation/ABI/testing/sysfs-devices-system-cpu, sysfs-class-thermal, sysfs-class-hwmon and
Documentation/hwmon/ina3221; Raspberry Pi's documentation of `vcgencmd get_throttled`; NVIDIA's Jetson Linux Developer
Guide on power and performance (`soctherm_oc`, throttle alerts). Nothing here raises: what can't be read is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path

CPU_CHIPS = ("coretemp", "k10temp", "zenpower")
SLOWING = (
    "cpufreq",
    "devfreq",
    "throttle-alert",
    "thermal-idle",
    "Processor",
)  # cooling devices that throttle, unlike fans
GPU = re.compile(r"\.(gpu|g[apmv]\d+b)$|^gpu-gpc")  # GPU of a Jetson or another board, among the devices with a clock
PI_LIMITS = (
    "under-voltage",
    "CPU clock capped",
    "throttled",
    "soft temperature limit",
)  # bits 0-3: now, 16-19: since boot


def text(path: Path) -> str | None:
    """A file's content without surrounding white space; None if it can't be read or is empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n\t ") or None
    except OSError:
        return None


def number(path: Path) -> float | None:
    """A file's first word as a number; None if it is not a number."""
    try:
        value = float((text(path) or "").partition(" ")[0])
    except ValueError:
        return None
    return value if isfinite(value) else None


def output(*command: str) -> str | None:
    """Output of a command; None if it is not installed, fails or takes more than 5 seconds."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_mhz(root: Path, cores: Sequence[int]) -> list[float]:
    """Clock of each core that reports it, MHz. A Raspberry Pi's firmware may run slower than this."""
    found = [number(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq") for core in cores]
    return [value / 1000 for value in found if value is not None]


def governors(root: Path, cores: Sequence[int]) -> list[str]:
    """Governors of the cores, each once."""
    found = [text(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor") for core in cores]
    return sorted({value for value in found if value})


def power_mode(root: Path) -> str | None:
    """A Jetson's mode by `nvpmodel`, or a laptop's platform profile."""
    found = re.search(r"NV Power Mode:\s*(\S+)", output("nvpmodel", "-q") or "")
    return found.group(1) if found else text(root / "sys/firmware/acpi/platform_profile")


def gpu_mhz(root: Path) -> float | None:
    """Clock of an integrated GPU, MHz."""
    devices = [path for path in (root / "sys/class/devfreq").glob("*") if GPU.search(path.name)]
    found = [value for value in (number(path / "cur_freq") for path in devices) if value is not None]
    return max(found) / 1e6 if found else None


def temperatures_c(root: Path) -> dict[str, float]:
    """Temperature by sensor, °C: all thermal zones, and the CPU's own sensors. The highest of equal names."""
    found: dict[str, float] = {}

    def add(name: str, milli: float | None) -> None:
        if milli is not None and -50_000 < milli < 200_000:  # a sensor that is off reports -256 °C
            found[name] = max(milli / 1000, found.get(name, -273.0))

    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        add(text(zone / "type") or zone.name, number(zone / "temp"))
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        name = text(chip / "name")
        for sensor in sorted(chip.glob("temp*_input")) if name in CPU_CHIPS else ():
            label = text(sensor.with_name(sensor.name.replace("_input", "_label"))) or ""
            if not label.startswith("Core "):
                add(f"{name} {label}".strip(), number(sensor))
    return found


def power_w(root: Path) -> dict[str, float]:
    """Power by rail, W, from power monitors with voltage and current (INA3221)."""
    found: dict[str, float] = {}
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        for channel in (1, 2, 3) if (text(chip / "name") or "").startswith("ina") else ():
            rail = text(chip / f"in{channel}_label")
            millivolts, milliamperes = number(chip / f"in{channel}_input"), number(chip / f"curr{channel}_input")
            if rail and millivolts is not None and milliamperes is not None:
                found[rail] = round(millivolts * milliamperes / 1e6, 3)
    return found


def _pi_bits(root: Path) -> int | None:
    """Raspberry Pi: the kernel's file, which a Pi 5 lacks, or the firmware's command (`throttled=0x50000`)."""
    files = (text(path) for path in (root / "sys/devices/platform").glob("soc*/*:firmware/get_throttled"))
    for said in (*files, (output("vcgencmd", "get_throttled") or "").partition("=")[2]):
        try:
            return int((said or "").strip(), 16)
        except ValueError:
            continue
    return None


def slowed_by(root: Path) -> list[str] | None:
    """What throttles the machine at this moment; None if it does not report that."""
    coolers = [(text(path / "type") or "", path) for path in (root / "sys/class/thermal").glob("cooling_device*")]
    coolers = [(kind, path) for kind, path in coolers if any(word in kind for word in SLOWING)]
    bits = _pi_bits(root)
    if not coolers and bits is None:
        return None
    active = {f"cooling by {kind}" for kind, path in coolers if (number(path / "cur_state") or 0) > 0}
    return sorted(active | {limit for place, limit in enumerate(PI_LIMITS) if (bits or 0) >> place & 1})


def throttle_counts(root: Path, cores: Sequence[int]) -> dict[str, int]:
    """How often the machine was throttled since boot, by reason; empty if it does not count."""
    counts: dict[str, int] = {}
    cpus = root / "sys/devices/system/cpu"
    for kind, total in (("core", sum), ("package", max)):
        files = [cpus / f"cpu{core}/thermal_throttle/{kind}_throttle_count" for core in cores]
        found = [int(value) for value in map(number, files) if value is not None]
        if found:
            counts[f"CPU {kind} too hot"] = total(found)
    for chip in (root / "sys/class/hwmon").glob("hwmon*"):
        for file in chip.glob("oc*_event_cnt") if text(chip / "name") == "soctherm_oc" else ():
            counts[f"over-current {file.name.partition('_')[0]}"] = int(number(file) or 0)
    bits = _pi_bits(root)
    if bits is not None:
        counts |= {limit: bits >> 16 + place & 1 for place, limit in enumerate(PI_LIMITS)}
    return counts


def busy_seconds(root: Path, cores: Sequence[int]) -> tuple[float, float] | None:
    """Core seconds since boot that the cores were busy, and that a hypervisor withheld; None if unknown.

    From /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
    """
    wanted = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in (text(root / "proc/stat") or "").splitlines()]
    lines = [line[1:9] for line in lines if len(line) > 8 and line[0] in wanted]
    ticks = [[int(value) for value in line] for line in lines if all(map(str.isdecimal, line))]
    if not any(map(any, ticks)):
        return None
    second = os.sysconf("SC_CLK_TCK")
    return sum(sum(core[:3]) + sum(core[5:7]) for core in ticks) / second, sum(core[7] for core in ticks) / second


def tree_seconds(root: Path, processes: Iterable[int]) -> float:
    """CPU time of some processes, of all that they started, and of those of them that have ended, s.

    From /proc/PID/stat: parent, utime, stime, cutime and cstime are fields 4 and 14 to 17 (proc_pid_stat(5)).
    """
    wanted = list(processes)
    if not wanted:
        return 0.0
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in (root / "proc").glob("[0-9]*/stat"):
        fields = (text(path) or "").rpartition(")")[2].split()  # a program's name may hold spaces and brackets
        if len(fields) > 14:
            process = int(path.parent.name)
            children.setdefault(int(fields[1]), []).append(process)
            ticks[process] = sum(map(int, fields[11:15]))
    total = 0
    while wanted:
        process = wanted.pop()
        total += ticks.pop(process, 0)
        wanted += children.pop(process, [])
    return total / os.sysconf("SC_CLK_TCK")


def load_average(root: Path) -> float | None:
    """Load average of the last minute, including this process."""
    return number(root / "proc/loadavg")
