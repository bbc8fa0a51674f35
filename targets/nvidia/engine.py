"""An engine on disk with its side file, which records where it was built, so that a foreign one is refused clearly.

Sources: NVIDIA TensorRT documentation, "Engine Compatibility"; TensorRT-RTX documentation, "Engine Compatibility".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import ArtifactFailed, ForeignEngine

ENGINE, SIDE_FILE = "model.engine", "engine.json"
AGAIN = "Compile it here: python3 BUNDLE (or zoo compile BUNDLE)"


@dataclass(frozen=True)
class Place:
    """A runtime on a GPU; unknown fields are None, as without a GPU.

    Attributes:
        runtime: the Python package, `tensorrt` or `tensorrt_rtx`.
        sm: compute capability, 87 for 8.7.
        driver: version of NVIDIA's kernel module.
        cuda: the newest CUDA that the driver supports.
    """

    runtime: str
    version: str
    gpu: str | None = None
    sm: int | None = None
    driver: str | None = None
    cuda: str | None = None


@dataclass(frozen=True)
class EngineRecord:
    """Content of an engine's side file.

    Attributes:
        built: where it was built.
        capabilities: SM numbers of the GPUs it runs on.
        flags: of network and builder.
        batches: smallest, optimal and largest batch size of its optimisation profile.
    """

    built: Place
    capabilities: tuple[int, ...]
    flags: tuple[str, ...]
    batches: tuple[int, int, int]
    size_bytes: int
    sha256: str


def write_engine(
    folder: Path,
    plan: bytes,
    built: Place,
    capabilities: tuple[int, ...],
    flags: tuple[str, ...],
    batches: tuple[int, int, int],
) -> None:
    """Write a serialised engine and its side file."""
    record = EngineRecord(built, capabilities, flags, batches, len(plan), hashlib.sha256(plan).hexdigest())
    (folder / ENGINE).write_bytes(plan)
    text = json.dumps(dataclasses.asdict(record), indent=2) + "\n"
    (folder / SIDE_FILE).write_text(text, encoding="utf-8")


def read_engine(folder: Path) -> tuple[EngineRecord, bytes]:
    """Read the side file, and the engine that it describes.

    Raises:
        ArtifactFailed: one of them is missing or damaged.
    """
    side_file = folder / SIDE_FILE
    try:
        plan, text = (folder / ENGINE).read_bytes(), side_file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ArtifactFailed(f"{error.filename} is missing; an engine needs its side file. {AGAIN}") from None
    try:
        values: dict[str, Any] = json.loads(text)
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        record = EngineRecord(**values | lists | {"built": Place(**values["built"])})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArtifactFailed(f"{side_file} is damaged: it does not describe an engine. {AGAIN}") from None
    if hashlib.sha256(plan).hexdigest() != record.sha256:
        raise ArtifactFailed(
            f"{folder / ENGINE} is damaged: {len(plan)} bytes whose sha256 differs from {SIDE_FILE} "
            f"({record.size_bytes} bytes). Fetch it again, or compile it again."
        )
    return record, plan


def _release(version: str) -> list[str]:
    return version.split(".")[:3]


def check_fit(record: EngineRecord, here: Place) -> None:
    """Check that an engine fits: same GPU, and the release (major.minor.patch) that built it.

    Raises:
        ForeignEngine: it does not; with the difference and how to fix it.
    """
    built = record.built
    if built.runtime != here.runtime or _release(built.version) != _release(here.version):
        raise ForeignEngine(
            f"this engine was built by {built.runtime} {built.version}, but this is {here.runtime} {here.version}: "
            f"an engine runs only with the release that built it.\n{AGAIN}"
        )
    if here.sm not in record.capabilities:
        of = f" (built on {built.gpu})" if built.gpu else ""
        raise ForeignEngine(
            f"this engine is for SM {', '.join(map(str, record.capabilities))}{of}, but this GPU is {here.gpu} with "
            f"SM {here.sm}: an engine runs only on the GPUs it was built for.\n{AGAIN}"
        )
