"""A runtime's wheels for arm64, downloaded and unpacked by pip, in the version that runs on this machine.

pip resolves them for the emulated machine's Python and C library. A folder holds one runtime with what it needs, and
appears in one rename.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from targets.errors import shorten
from zoo.emulated.debian import FULL, GLIBC, PYTHON, SYSTEM, check_room, no_room, unwritable
from zoo.errors import EmulationError
from zoo.home import Home

ROOM = 600 * 10**6  # bytes: OpenVINO has 150 MB unpacked, and as much while pip works
UNREACHED = re.compile(r"connection|name resolution|proxy|timed out|unreachable|retrying", re.IGNORECASE)
MISSING = re.compile(r"No matching distribution found for (\S+)")
OTHERS = re.compile(r"\(from versions: ([^)]*)\)")


def platforms() -> list[str]:
    """Tags of wheels that the emulated system takes, from its C library's version down to manylinux2014."""
    major, newest = GLIBC
    return [*(f"manylinux_{major}_{minor}_aarch64" for minor in range(newest, 16, -1)), "manylinux2014_aarch64"]


def _why(output: str, requirement: str) -> EmulationError:
    """What went wrong, according to pip."""
    if FULL in output:
        return EmulationError(f"no space left for the wheels of {requirement}. Free some, and run the command again.")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(UNREACHED.search(line) for line in lines if line.startswith("WARNING")):
        return EmulationError(
            f"can't get the arm64 wheels of {requirement}: the package index can't be reached. Check the network, or "
            "pip's settings (PIP_INDEX_URL), and run the command again."
        )
    if missing := MISSING.search(output):
        found = OTHERS.search(output)
        others = [one for one in (found[1] if found else "").split(", ") if one not in ("", "none")]
        there = f"; there are wheels of {', '.join(others[-3:])}" if others else ""
        needed = "" if missing[1] == requirement else f", which {requirement} needs,"
        return EmulationError(
            f"the package index has no wheel of {missing[1]}{needed} for arm64 and CPython {PYTHON} ({SYSTEM}){there}. "
            "Emulate another target, or install a version here that has one."
        )
    told = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")]
    reason = shorten((told or lines or ["it gives no reason"])[0]).rstrip(".")
    return EmulationError(f"can't get the arm64 wheels of {requirement} with pip: {reason}.")


def _install(requirement: str, fresh: Path) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--target", str(fresh), "--only-binary=:all:", "--no-compile",
        "--implementation=cp", f"--python-version={PYTHON}", *(f"--platform={one}" for one in platforms()),
        "--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar=off", "--retries=2",
        "--root-user-action=ignore", requirement,
    ]  # fmt: skip
    # in a folder of ours, so that no module of the current one is taken for pip
    done = subprocess.run(command, cwd=fresh.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise _why(done.stderr, requirement)


def wheels(home: Home, distribution: str, version: str, say: Callable[[str], None]) -> Path:
    """The folder of a runtime's unpacked wheels in a home; made there on the first call.

    Args:
        distribution, version: the runtime's package, as it is installed on this machine.

    Raises:
        EmulationError: there is no such wheel for arm64, the index can't be reached, pip is missing, or there is no
            space.
    """
    requirement = f"{distribution}=={version}"
    folder = home.emulated / "arm64" / f"{distribution}-{version}-cp{PYTHON.replace('.', '')}"
    fresh = folder.with_name(f"{folder.name}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "lock"):
            if folder.is_dir():
                return folder
            if not find_spec("pip"):
                raise EmulationError(
                    f"pip is not installed in this environment, which gets the arm64 wheels of {requirement}. Run: "
                    f"{sys.executable} -m ensurepip"
                )
            check_room(folder.parent, ROOM, f"{requirement} for arm64")
            say(f"getting {requirement} for arm64, once")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            _install(requirement, fresh)
            fresh.rename(folder)
    except OSError as error:
        if error.strerror == FULL:
            raise no_room(folder.parent) from None
        raise unwritable(error, folder) from None
    return folder
