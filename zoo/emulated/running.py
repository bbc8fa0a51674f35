"""One run on the emulated machine: a folder with the job, the code that a bundle would carry, and what comes back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from pipeline.stages.bundle import device_code
from targets.contract import find_runtime
from targets.errors import shorten
from targets.settings import TargetSettings
from zoo.emulated.debian import System
from zoo.emulated.inside import EMBEDDINGS, IMAGES, JOB
from zoo.emulated.machine import Emulator, prefix
from zoo.errors import EmulationError


@dataclass(frozen=True)
class Emulation:
    """An emulated machine, ready to run a runtime.

    Attributes:
        cpu: see `zoo.emulated.machine.PROCESSORS`.
        wheels: folder of the runtime's package.
    """

    emulator: Emulator
    cpu: str
    system: System
    wheels: Path


def _write(folder: Path, settings: TargetSettings, artifact: Path, images: np.ndarray) -> Path:
    """Write the job and its code; return the folder of the code."""
    code = folder / "code"
    for name, path in device_code(settings.runtime).items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, code / name)
    (code / "__main__.py").write_bytes(files("zoo.emulated").joinpath("inside.py").read_bytes())
    np.save(folder / IMAGES, images)
    entry = find_runtime(settings.runtime)
    # threads that wait for each other spin, which costs many times as much in an emulator
    given = asdict(replace(settings, threads=1))
    job = {
        "entry": f"{entry.module}:{entry.attr}",
        "settings": given,
        "artifact": str(artifact.absolute()),
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")
    return code


def _ended(errors: Path, code: int) -> str:
    """Why the emulated process ended, in a line."""
    said = [line for line in errors.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if said:
        return shorten(said[-1].removeprefix("Error: ")).rstrip(".")
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def embed_there(
    emulation: Emulation,
    settings: TargetSettings,
    artifact: Path,
    images: np.ndarray,
    folder: Path,
    tell: Callable[[str], None],
) -> np.ndarray:
    """Embed images on the emulated machine.

    Args:
        artifact: a folder with what `compile` wrote; or a file as in a bundle (`targets.bundles.packed`).
        images: uint8 N×H×W×3 RGB.
        folder: an empty folder, which the caller removes.
        tell: is called with each line that the program prints.

    Returns:
        Embeddings, as the artifact gives them there.

    Raises:
        EmulationError: it does not run there.
    """
    code = _write(folder, settings, artifact, images)
    root = prefix(emulation.system.root, emulation.cpu, folder / "root")
    environment = {
        "PYTHONPATH": str(emulation.wheels), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8", "HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder),
        "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    command = [*emulation.emulator.command(emulation.cpu, root), str(emulation.system.python), str(code), str(folder)]
    errors = folder / "errors.txt"
    with (
        errors.open("wb") as out,
        subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out,
            text=True, errors="replace",
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                tell(line.rstrip())
        except BaseException:
            process.kill()
            raise
    result = folder / EMBEDDINGS
    if process.returncode or not result.is_file():
        raise EmulationError(_ended(errors, process.returncode))
    embeddings: np.ndarray = np.load(result, allow_pickle=False)
    return embeddings
