"""A bundle that needs no runtime, and the messages of its run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from targets.bundles.archive import write_archive
from targets.bundles.bundle import BUNDLE_LIST
from targets.errors import DeviceError
from targets.ssh import run_on_device

if TYPE_CHECKING:  # a process that only listens needs no server
    from tests.targets.sshd import Device

MIB = 2**20
PROGRAM = """
import os, sys, time
from pathlib import Path

cache = Path(os.environ["ZOO_CACHE"])
with (cache / "ran").open("a") as file:
    print(time.time(), file=file)
print("first step", flush=True)
end = time.monotonic() + SECONDS
while time.monotonic() < end and not (cache / "go").exists():
    time.sleep(0.01)
print("second step", flush=True)
END
Path(sys.argv[1]).write_bytes(b"measured" * SIZE)
with (cache / "ran").open("a") as file:
    print(time.time(), file=file)
"""


def make_bundle(path: Path, end: str = "", *, seconds: float = 0.0, mib: float = 0.1, size: int = 1000) -> Path:
    """A bundle whose program does nothing for `seconds` and ends with `end`, or a result of 8 × `size` bytes."""
    code = PROGRAM.replace("SECONDS", str(seconds)).replace("END", end).replace("SIZE", str(size))
    files: dict[str, Path | bytes] = {"__main__.py": code.encode(), "graphs/ballast": os.urandom(int(mib * MIB))}
    write_archive(path, BUNDLE_LIST, {"release": f"{path.stem}@1"}, files)
    return path


@dataclass
class Heard:
    """Messages of a run; `when` is called with each line, and with the bar's name at each step."""

    when: Callable[[str], None] = lambda _: None
    lines: list[str] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    bars: dict[str, tuple[int, int]] = field(default_factory=dict)

    def say(self, text: str, /) -> None:
        self.lines.append(text)
        self.when(text)

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0, /) -> Iterator[Heard]:
        self.name = name
        self.starts.append((name, done))
        self.bars[name] = done, total
        yield self

    def advance(self, steps: int = 1, /) -> None:
        done, total = self.bars[self.name]
        self.bars[self.name] = done + steps, total
        self.when(self.name)


def once(word: str, action: Callable[[], None]) -> Callable[[str], None]:
    """Act on the first line that contains a word."""
    left = [action]
    return lambda line: left.pop()() if left and word in line else None


def runs(device: Device) -> list[float]:
    """When the program began and ended, each time."""
    return [float(line) for line in (device.cache / "ran").read_text().split()]


def refused(
    device: Device, bundle: Path, result: Path, *, host: str | None = None, python: str = sys.executable
) -> str:
    """Run, expect a refusal in one or two lines, and give it back."""
    with pytest.raises(DeviceError) as caught:
        run_on_device(host or device.address, python, bundle, result, Heard())
    assert len(str(caught.value).splitlines()) <= 2
    assert not result.exists()
    return str(caught.value)
