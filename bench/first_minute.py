"""Times the first commands of README as a new user runs them: installed without torch, in an empty folder.

    python -m bench.first_minute                                          this Python; wheel and checkout
    python -m bench.first_minute --python python3.10 python3.12 --by wheel
    python -m bench.first_minute --prebuilt FOLDER                        with other releases than those in prebuilt/

The commands are those of the first block in README. The installation is not timed; it needs a package index. Exit code
1: a command failed, torch was installed, no contact sheet was drawn, or the commands took longer than `LIMIT` seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

TOP = Path(__file__).parent.parent
LIMIT = 60.0  # s, all commands after the installation
WAYS = ("wheel", "checkout")


@dataclass(frozen=True)
class Tried:
    """One installation, and what its commands took."""

    way: str
    python: str
    commands: dict[str, float]
    """seconds of each command"""
    megabytes: float
    """of the environment"""
    wheel_megabytes: float | None
    problems: list[str]

    @property
    def seconds(self) -> float:
        """Of all commands."""
        return sum(self.commands.values())


def readme_commands(text: str) -> tuple[list[str], list[list[str]]]:
    """The arguments of `pip install`, of which the last one is `.` with extras, and the commands after it.

    Raises:
        ValueError: the first block does not begin with `pip install`.
    """
    block = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0]
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    install, *commands = [line for line in lines if line]
    if install[:2] != ["pip", "install"]:
        raise ValueError(f"README begins with {install}, not with pip install")
    return install[2:], commands


def copy_sources(target: Path, prebuilt: Path | None) -> None:
    """The files of this checkout as they are now, without ignored ones; and other releases in place of prebuilt/."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=TOP, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (TOP / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TOP / name, target / name)
    if prebuilt:
        shutil.rmtree(target / "prebuilt", ignore_errors=True)
        shutil.copytree(prebuilt, target / "prebuilt")


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def _environment(root: Path) -> dict[str, str]:
    """The variables of the commands: none of this user's but PATH."""
    return {"PATH": os.environ["PATH"], "HOME": str(root), "LANG": "C.UTF-8", "COLUMNS": "120"}


def try_out(way: str, python: str, prebuilt: Path | None, root: Path, show: bool) -> Tried:
    """Install into a fresh environment, and run the commands.

    Args:
        root: an empty folder for everything.
        show: print what the commands print.
    """
    sources, environment, here = root / "zoo", root / "env", root / "here"
    copy_sources(sources, prebuilt)
    (*_, requirement), commands = readme_commands((sources / "README.md").read_text(encoding="utf-8"))
    extras = requirement[requirement.index("[") :]
    _run([python, "-m", "venv", environment])
    python_here = str(environment / "bin/python")
    pip = [python_here, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wheel_size = None
    if way == "wheel":
        build = [python_here, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(root / "dist")]
        _run([*build, "--disable-pip-version-check", str(sources)])
        (wheel,) = (root / "dist").glob("*.whl")
        wheel_size = wheel.stat().st_size / 1e6
        _run([*pip, f"{wheel}{extras}"])
        shutil.rmtree(sources)
    else:
        _run([*pip, "-e", f"{sources}{extras}"])
    here.mkdir()
    found = Tried(way, python, {}, _megabytes(environment), wheel_size, [])
    if (
        subprocess.run([environment / "bin/python", "-c", "import torch"], capture_output=True, check=False).returncode
        == 0
    ):
        found.problems.append("torch is installed")
    for command in commands:
        start = time.perf_counter()
        done = subprocess.run(
            [environment / "bin" / command[0], *command[1:]],
            cwd=here, env=_environment(root), capture_output=True, text=True, check=False,
        )  # fmt: skip
        found.commands[shlex.join(command)] = time.perf_counter() - start
        if show:
            print(f"$ {shlex.join(command)}", done.stdout, done.stderr, sep="\n")
        if done.returncode:
            found.problems.append(f"{shlex.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
    if not [*here.glob("*.sheet.png")]:
        found.problems.append("no contact sheet was drawn")
    if found.seconds > LIMIT:
        found.problems.append(f"the commands took {found.seconds:.1f} s, more than {LIMIT:.0f} s")
    return found


def _megabytes(root: Path) -> float:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def told(found: Tried) -> str:
    """Lines about an installation."""
    lines = [f"{found.way}, {found.python}: {found.seconds:.1f} s; environment {found.megabytes:.0f} MB"]
    if found.wheel_megabytes is not None:
        lines[0] += f", wheel {found.wheel_megabytes:.1f} MB"
    lines += [f"  {seconds:5.2f} s  {command}" for command, seconds in found.commands.items()]
    return "\n".join([*lines, *(f"  problem: {one}" for one in found.problems)])


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters")
    parser.add_argument("--by", nargs="+", choices=WAYS, default=list(WAYS), help="how zoo is installed")
    parser.add_argument("--prebuilt", type=Path, help="releases in place of those in prebuilt/")
    parser.add_argument("--show", action="store_true", help="print what the commands print")
    options = parser.parse_args(arguments)
    sound = True
    for python in options.python:
        for way in options.by:
            with TemporaryDirectory(prefix="first-minute-") as root:
                found = try_out(way, python, options.prebuilt, Path(root), options.show)
            print(told(found), flush=True)
            sound = sound and not found.problems
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
