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
from targets.nvidia.dla import DlaUse
from targets.nvidia.jetpacks import board_of, jetpack_words, stacks_of
from targets.nvidia.ranges import VersionRange, numbers_of

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
        board: name of a Jetson; None elsewhere.
        l4t: its version of Jetson Linux.
    """

    runtime: str
    version: str
    gpu: str | None = None
    sm: int | None = None
    driver: str | None = None
    cuda: str | None = None
    board: str | None = None
    l4t: str | None = None


@dataclass(frozen=True)
class EngineRecord:
    """Content of an engine's side file.

    Attributes:
        built: where it was built.
        capabilities: SM numbers of the GPUs it runs on.
        flags: of network and builder.
        batches: smallest, optimal and largest batch size of its optimisation profile.
        dla: what it computes on a DLA; None if it is for the GPU alone.
    """

    built: Place
    capabilities: tuple[int, ...]
    flags: tuple[str, ...]
    batches: tuple[int, int, int]
    size_bytes: int
    sha256: str
    dla: DlaUse | None = None


def write_engine(
    folder: Path,
    plan: bytes,
    built: Place,
    capabilities: tuple[int, ...],
    flags: tuple[str, ...],
    batches: tuple[int, int, int],
    dla: DlaUse | None = None,
) -> None:
    """Write a serialised engine and its side file. Fields that only a Jetson has are missing elsewhere."""
    record = EngineRecord(built, capabilities, flags, batches, len(plan), hashlib.sha256(plan).hexdigest(), dla)
    (folder / ENGINE).write_bytes(plan)
    content = dataclasses.asdict(record)
    for holder, name in ((content, "dla"), (content["built"], "board"), (content["built"], "l4t")):
        if holder[name] is None:
            del holder[name]
    text = json.dumps(content, indent=2) + "\n"
    (folder / SIDE_FILE).write_text(text, encoding="utf-8")


def read_engine(folder: Path) -> tuple[EngineRecord, bytes]:
    """Read the side file, and the engine that it describes.

    Raises:
        ArtifactFailed: one of them is missing or damaged.
    """
    side_file = folder / SIDE_FILE
    try:
        plan, content = (folder / ENGINE).read_bytes(), side_file.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactFailed(f"{error.filename} is missing; an engine needs its side file. {AGAIN}") from None
    except OSError as error:
        raise ArtifactFailed(f"can't read {error.filename}: {error.strerror}. Check its owner and mode.") from None
    try:
        text = content.decode()
        values: dict[str, Any] = json.loads(text)
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        dla = values.get("dla")
        inner = {"built": Place(**values["built"]), "dla": None if dla is None else DlaUse(**dla)}
        record = EngineRecord(**values | lists | inner)
        numbers_of(record.built.version)
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


def check_wanted(record: EngineRecord, versions: str, board: str | None, dla: bool) -> None:
    """Check that an engine is one that a target takes, whatever this machine is.

    Args:
        versions: range of versions of the target; empty: any.
        board: the target's `board`.
        dla: whether the target computes on a DLA.

    Raises:
        ForeignEngine: it is not; with the difference and how to fix it.
    """
    built = record.built
    asked = VersionRange.parse(versions)
    if built.version not in asked:
        stacks = stacks_of(board, asked) if board else []
        of = f" ({jetpack_words(stacks)})" if stacks else ""
        raise ForeignEngine(
            f"this engine was built by {built.runtime} {built.version}, but this target takes {asked}{of}: "
            f"an engine runs only with the release that built it.\n{AGAIN}"
        )
    if (record.dla is not None) != dla:
        made, takes = ("a DLA", "the GPU") if record.dla else ("the GPU", "a DLA")
        raise ForeignEngine(f"this engine was built for {made}, but this target computes on {takes}.\n{AGAIN}")


def check_fit(record: EngineRecord, here: Place) -> None:
    """Check that an engine fits: same board and GPU, and the release (major.minor.patch) that built it.

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
    boards = [board_of(place.board) or place.board for place in (built, here) if place.board]
    if len(boards) == 2 and boards[0] != boards[1]:
        raise ForeignEngine(
            f"this engine was built on another board ({built.board}) than this one ({here.board}): "
            f"its kernels were chosen there.\n{AGAIN}"
        )
