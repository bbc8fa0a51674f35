"""One step of a build, and the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.data.samples import Index
from pipeline.errors import MissingLibrary, WeightsError
from pipeline.files import sha256
from pipeline.networks.hub import HubFile
from targets.device import Device
from targets.installing import install_command

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


@dataclass(frozen=True)
class Step:
    """A stage with everything it is given.

    `run` is called as `run(work, **settings, **files, **inputs)`, with `data` if it is there; what it is not given it
    can't read, and all that it is given goes into its key.
    """

    name: str  # "teacher", "measure/openvino-cpu": the stage, and which one of several
    run: Callable[..., None]
    version: int
    settings: Mapping[str, object]
    inputs: Mapping[str, str] = field(default_factory=dict)  # parameter → step whose result it reads
    files: Mapping[str, Path | HubFile | None] = field(default_factory=dict)  # parameter → file whose content counts
    libraries: tuple[str, ...] = ()
    data: Index | None = None
    place: Device | None = None  # the machine, where the result is bound to it
    trains: bool = False  # in all processes; the others are the main process's alone

    @property
    def stage(self) -> str:
        """The room of the store."""
        return self.name.split("/")[0]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        raise MissingLibrary(f"{library} is not installed. Run: {install_command('build')}") from None


def _digest(path: Path | HubFile) -> str:
    if isinstance(path, HubFile):
        return path.sha256
    try:
        return sha256(path)
    except OSError as error:
        raise WeightsError(f"can't read weights {path}: {error.strerror}.") from None


def ingredients(step: Step, keys: Mapping[str, str]) -> dict[str, Any]:
    """All that a step's result depends on, as plain data.

    Args:
        keys: keys of earlier steps by name.

    Raises:
        MissingLibrary: a library that the result depends on is not installed.
    """
    hub = {
        parameter: {"repository": file.repository, "revision": file.revision}
        for parameter, file in step.files.items()
        if isinstance(file, HubFile)
    }
    return {
        "stage": step.stage,
        "version": step.version,
        "settings": _ANYTHING.dump_python(dict(step.settings), mode="json"),
        "inputs": {parameter: keys[name] for parameter, name in step.inputs.items()},
        "files": {parameter: _digest(path) for parameter, path in step.files.items() if path},
        "libraries": {library: _version(library) for library in step.libraries},
        "data": step.data.key if step.data else None,
        "place": _ANYTHING.dump_python(step.place, mode="json"),
        **({"hub": hub} if hub else {}),  # others keep the keys that they had before there was any
    }


def key_of(content: Mapping[str, Any]) -> str:
    """sha256 of ingredients."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
