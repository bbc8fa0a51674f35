"""What each JetPack brings to each Jetson: the one table that checks, `zoo doctor` and docs/jetson.md read.

Sources, as of November 2026; where pages contradict each other, the newest one counts:

- NVIDIA TensorRT 11.4.1 documentation: "Migrating TensorRT from 10.x to 11.x on Jetson/JetPack", "Working with DLA",
  "Method 1: Python Package Index (pip)"; release notes of 10.16.1 (Orin by the SBSA build) and of 11.4.1
- NVIDIA, JetPack archive: JetPack 7.0 (Jetson Linux 38.2), 7.1 (38.4: CUDA 13.0, TensorRT 10.13.3)
- OE4T meta-tegra, pull request 2224: JetPack 7.2, L4T R39.2.0, CUDA 13.2, TensorRT 10.16, Orin and Thor
- PyPI: wheels of tensorrt_cu12_bindings and tensorrt_cu13_bindings for aarch64
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets.nvidia.ranges import VersionRange

TEGRA = Path("/etc/nv_tegra_release")  # on every Jetson: "# R36 (release), REVISION: 4.3, GCID: …"
RELEASE = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")

ORIN_NANO, ORIN_NX, AGX_ORIN, AGX_THOR = "Jetson Orin Nano", "Jetson Orin NX", "Jetson AGX Orin", "Jetson AGX Thor"

CUDA_12, CUDA_13 = "cuda-bindings>=12.8,<13", "cuda-bindings>=13,<14"
SYSTEM = "sudo apt install python3-libnvinfer"
SBSA = "Add NVIDIA's Debian repository of TensorRT 11.4.1 or later (Ubuntu 24.04, ARM SBSA)"
NO_WHEEL = "PyPI has no 10.3 for aarch64"
NOT_NAMED = "PyPI has wheels of 10.13.3, which NVIDIA does not name for JetPack"
NOT_YET = "PyPI ends at 11.4.0, which does not support JetPack"

NANO_HAS_NONE = "a Jetson Orin Nano has no DLA"
THOR_HAS_NONE = "a Jetson Thor has no DLA"
NOT_IN_10_3 = "JetPack 6 stays at TensorRT 10.3, whose parser lacks ADJUST_FOR_DLA"
NOT_IN_10_16 = "TensorRT 10.16 does not support the DLA of an Orin"
NX_IS_LEFT_OUT = "TensorRT 10.16 does not support the DLA of an Orin, and TensorRT 11 only that of an AGX Orin"


@dataclass(frozen=True)
class Stack:
    """A board with a JetPack.

    Attributes:
        target: name of the target in zoo's catalogue.
        board: words of the board's own name.
        sm: compute capability of its GPU without the point.
        jetpack: versions of JetPack, in words.
        l4t: range of Jetson Linux (L4T), which `/etc/nv_tegra_release` names.
        cuda: version of CUDA.
        tensorrt: range of TensorRT.
        python: version of the system's Python, which TensorRT's package is for.
        bindings: requirement on `cuda-bindings` from PyPI.
        no_dla: why zoo can't use a DLA there; None where it can.
        before: what has to be done before `SYSTEM` installs TensorRT's Python package; empty if nothing.
        wheel: requirement by which pip installs TensorRT from PyPI instead, or why it can't.
    """

    target: str
    board: str
    sm: int
    jetpack: str
    l4t: str
    cuda: str
    tensorrt: str
    python: str
    bindings: str
    no_dla: str | None
    before: str = ""
    wheel: str = NO_WHEEL

    @property
    def has_wheel(self) -> bool:
        """Whether PyPI has TensorRT for it."""
        return self.wheel.startswith("tensorrt")

    @property
    def install(self) -> str:
        """How TensorRT's Python package is installed, in a sentence."""
        return f"{self.before}, then run: {SYSTEM}" if self.before else f"Run: {SYSTEM}"


def _jetpack_6(target: str, board: str, no_dla: str = NOT_IN_10_3) -> Stack:
    return Stack(target, board, 87, "6.1 to 6.2", ">=36.4,<37", "12.6", ">=10.3,<10.4", "3.10", CUDA_12, no_dla)


def _jetpack_7_1(target: str, board: str, sm: int, no_dla: str) -> Stack:
    return Stack(
        target, board, sm, "7.0 to 7.1", ">=38.2,<39", "13.0", ">=10.13,<10.14", "3.12", CUDA_13, no_dla,
        wheel=NOT_NAMED,
    )  # fmt: skip


def _jetpack_7_2(target: str, board: str, sm: int, no_dla: str) -> Stack:
    return Stack(
        target, board, sm, "7.2", ">=39.2,<40", "13.2", ">=10.16,<10.17", "3.12", CUDA_13, no_dla,
        wheel="tensorrt>=10.16,<10.17",
    )  # fmt: skip


def _jetpack_7_2_2(target: str, board: str, sm: int, no_dla: str | None) -> Stack:
    return Stack(
        target, board, sm, "7.2.2 or later", ">=39.2,<40", "13.2", ">=11.4.1,<12", "3.12", CUDA_13, no_dla,
        before=SBSA, wheel=NOT_YET,
    )  # fmt: skip


STACKS: tuple[Stack, ...] = (
    _jetpack_6("jetson-orin-nano", ORIN_NANO, NANO_HAS_NONE),
    _jetpack_7_2("jetson-orin-nano-jp72", ORIN_NANO, 87, NANO_HAS_NONE),
    _jetpack_6("jetson-orin-nx", ORIN_NX),
    _jetpack_7_2("jetson-orin-nx-jp72", ORIN_NX, 87, NX_IS_LEFT_OUT),
    _jetpack_6("jetson-orin-agx", AGX_ORIN),
    _jetpack_7_2("jetson-orin-agx-jp72", AGX_ORIN, 87, NOT_IN_10_16),
    _jetpack_7_2_2("jetson-orin-agx-jp722", AGX_ORIN, 87, None),
    _jetpack_7_1("jetson-thor", AGX_THOR, 110, THOR_HAS_NONE),
    _jetpack_7_2("jetson-thor-jp72", AGX_THOR, 110, THOR_HAS_NONE),
    _jetpack_7_2_2("jetson-thor-jp722", AGX_THOR, 110, THOR_HAS_NONE),
)


def same_board(words: str, stack: Stack) -> bool:
    """Whether words of a board's name, or its whole name, mean the board of a stack."""
    asked, listed = words.casefold(), stack.board.casefold()
    return asked in listed or listed in asked


def board_of(name: str) -> str | None:
    """The board of the table in a machine's own name; None if it is none of them."""
    return next((stack.board for stack in STACKS if stack.board.casefold() in name.casefold()), None)


def stacks_of(board: str | None, versions: VersionRange) -> list[Stack]:
    """Rows of the table for a board (None: any) with some version of TensorRT in a range."""
    return [
        stack
        for stack in STACKS
        if (board is None or same_board(board, stack)) and versions.overlaps(VersionRange.parse(stack.tensorrt))
    ]


def stacks_with(board: str, l4t: str) -> list[Stack]:
    """Rows of the table for a board with this L4T. JetPack 7.2 and 7.2.2 do not differ in what is known of it."""
    return [stack for stack in STACKS if same_board(board, stack) and l4t in VersionRange.parse(stack.l4t)]


def stack_with(board: str, tensorrt: str) -> Stack | None:
    """The row of a board that has this version of TensorRT."""
    rows = [stack for stack in STACKS if same_board(board, stack)]
    return next((stack for stack in rows if tensorrt in VersionRange.parse(stack.tensorrt)), None)


def installed_l4t() -> str | None:
    """L4T of this machine, `36.4.3`; None on a machine that is no Jetson, or does not say it."""
    try:
        found = RELEASE.search(TEGRA.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return f"{found[1]}.{found[2].rstrip('.')}" if found else None


def jetpack_words(stacks: Iterable[Stack]) -> str:
    """`JetPack 7.0 to 7.1, or 7.2`."""
    return f"JetPack {', or '.join(dict.fromkeys(stack.jetpack for stack in stacks))}"


def needs_words(board: str | None, versions: str) -> str:
    """What a device needs to run a target, in words; empty if a range says nothing.

    `a Jetson Orin Nano with JetPack 6.1 to 6.2 (TensorRT >=10.3,<10.4, Python 3.10)`
    """
    stacks = stacks_of(board, VersionRange.parse(versions)) if board and versions else []
    if not stacks:
        return f"TensorRT {versions}" if versions else ""
    python = " or ".join(dict.fromkeys(stack.python for stack in stacks))
    return f"a {board} with {jetpack_words(stacks)} (TensorRT {versions}, Python {python})"


def how_to_install(stacks: Sequence[Stack]) -> str:
    """How TensorRT's Python package is installed on a machine with one of these stacks, in a sentence."""
    ways = {stack.install: stack.jetpack for stack in stacks} or {f"Run: {SYSTEM}": ""}
    told = ". ".join(f"For JetPack {jetpack}: {way}" if len(ways) > 1 else way for way, jetpack in ways.items())
    return f"{told} (a virtual environment needs --system-site-packages to see it)."
