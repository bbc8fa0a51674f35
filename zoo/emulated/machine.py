"""qemu's user mode, which runs programs of another architecture, and the processors that it emulates here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import EmulationError

ARCH = "arm64"
NATIVE = ("aarch64", "arm64")  # how systems call it
PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")


@dataclass(frozen=True)
class Processor:
    """An emulated processor: `part` and `features` as in /proc/cpuinfo, where runtimes look for fast instructions."""

    part: str
    features: str

    def cpuinfo(self, cores: int) -> str:
        """The text of /proc/cpuinfo."""
        lines = (
            f"Features\t: {self.features}", "CPU implementer\t: 0x41", "CPU architecture: 8", "CPU variant\t: 0x0",
            f"CPU part\t: {self.part}", "CPU revision\t: 3",
        )  # fmt: skip
        return "".join(
            f"processor\t: {core}\nBogoMIPS\t: 108.00\n" + "\n".join(lines) + "\n\n" for core in range(cores)
        )


PROCESSORS: Mapping[str, Processor] = {  # Arm's Technical Reference Manuals; a test compares with what qemu offers
    # Raspberry Pi 4
    "cortex-a72": Processor("0xd08", "fp asimd aes pmull sha1 sha2 crc32 cpuid"),
    # Raspberry Pi 5; Jetson Orin's Cortex-A78AE has the same instructions for networks
    "cortex-a76": Processor(
        "0xd0b", "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Emulator:
    """qemu: its program, and its version in words."""

    program: str
    version: str

    def command(self, cpu: str, root: Path) -> list[str]:
        """What comes before a program of the emulated machine, whose files are below `root`."""
        return [self.program, "-cpu", cpu, "-L", str(root)]


def find_emulator() -> Emulator:
    """The emulator on this machine.

    Raises:
        EmulationError: there is none, it does not start, or none is needed.
    """
    if platform.machine().lower() in NATIVE:
        raise EmulationError(f"this machine is {ARCH} itself: zoo bench NAME runs and measures a release on it.")
    if platform.system() != "Linux":
        raise EmulationError(
            f"qemu runs single {ARCH} programs on Linux only, not on {platform.system()}. Use a Linux machine, or a "
            "container."
        )
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise EmulationError(
            f"qemu for {ARCH} is not installed: there is no {' or '.join(PROGRAMS)} in PATH. Run: apt-get install "
            "qemu-user-static"
        )
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
        words = done.stdout.split()
        version = words[words.index("version") + 1]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        raise EmulationError(f"{program} does not start. Reinstall it: apt-get install qemu-user-static") from None
    return Emulator(program, f"qemu-aarch64 {version}")


def prefix(root: Path, cpu: str, folder: Path) -> Path:
    """A view of the emulated machine's files, with the /proc/cpuinfo of a processor.

    Runtimes choose kernels by it, and some crash without one; this machine's is no ARM processor's.

    Args:
        root: the unpacked system.
        folder: where to put it; made here.
    """
    (folder / "proc").mkdir(parents=True)
    for one in sorted(root.iterdir()):
        if one.name != "proc":
            (folder / one.name).symlink_to(one)
    text = PROCESSORS[cpu].cpuinfo(os.cpu_count() or 1)
    (folder / "proc/cpuinfo").write_text(text, encoding="utf-8")
    return folder
