"""One step of a build: its identity, its arguments, and the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from pipeline.data.samples import Index
from pipeline.errors import MissingLibrary, WeightsError
from pipeline.networks.hub import HubFile
from targets.carried import library_version
from targets.files import sha256
from targets.installing import install_command
from targets.machine.device import Device
from targets.settings import Precision

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


NetworkName = Literal["teacher", "student"]


class Variant(NamedTuple):
    """A network in a precision."""

    network: NetworkName
    precision: Precision

    def __str__(self) -> str:
        return f"{self.network}/{self.precision}"


class StepId(NamedTuple):
    """A stage and its object; only the fields that distinguish its steps are set."""

    stage: str  # folder of the store
    network: NetworkName | None = None
    precision: Precision | None = None
    target: str | None = None

    def __str__(self) -> str:
        return "/".join(filter(None, self))


TEACHER, DISTILL, COMPACT = StepId("teacher"), StepId("distill"), StepId("compact")
LATENCY_BUDGET, RECORD = StepId("latency_budget"), StepId("record")
Inputs = Mapping[str, StepId | Mapping[Any, StepId]]


@dataclass(frozen=True)
class Step:
    """A stage with all its arguments.

    `run` is called as `run(work, **settings, **files, **inputs)`, with `data` if that is set. It can read nothing else,
    and everything it is given is part of its key.

    Attributes:
        inputs: by parameter, the step whose result is passed; or several steps, by the `Variant` or `StepId` that
            distinguishes them there.
    """

    id: StepId
    run: Callable[..., None]
    version: int
    settings: Mapping[str, object]
    inputs: Inputs = field(default_factory=dict)
    files: Mapping[str, Path | HubFile | None] = field(default_factory=dict)  # parameter → file whose content counts
    libraries: tuple[str, ...] = ()
    data: Index | None = None
    place: Device | None = None  # the machine, if the result depends on it
    trains: bool = False  # runs in all processes; other steps run in the main process only

    @property
    def stage(self) -> str:
        """Folder of the store."""
        return self.id.stage

    def given(self, results: Mapping[StepId, Path]) -> dict[str, object]:
        """Arguments of `run`, besides the work.

        Args:
            results: folders of earlier steps.
        """

        def read(source: StepId | Mapping[Any, StepId]) -> object:
            if isinstance(source, StepId):
                return results[source]
            return {key: results[one] for key, one in source.items()}

        inputs = {parameter: read(source) for parameter, source in self.inputs.items()}
        return {**self.settings, **self.files, **inputs, **({"data": self.data} if self.data else {})}

    def sources(self) -> dict[str, StepId]:
        """The steps whose results it reads, by name."""
        found: dict[str, StepId] = {}
        for parameter, source in self.inputs.items():
            several = {parameter: source} if isinstance(source, StepId) else source
            found |= {str(key): one for key, one in several.items()}
        return found


def _version(library: str) -> str:
    try:
        return library_version(library)
    except PackageNotFoundError:
        raise MissingLibrary(f"{library} is not installed. Run: {install_command('build')}") from None


def _digest(path: Path | HubFile) -> str:
    if isinstance(path, HubFile):
        return path.sha256
    try:
        return sha256(path)
    except OSError as error:
        raise WeightsError(f"can't read weights {path}: {error.strerror}. Name another file.") from None


def ingredients(step: Step, keys: Mapping[StepId, str]) -> dict[str, Any]:
    """Everything that a step's result depends on, as plain data.

    Args:
        keys: keys of earlier steps.

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
        "inputs": {name: keys[source] for name, source in step.sources().items()},
        "files": {parameter: _digest(path) for parameter, path in step.files.items() if path},
        "libraries": {library: _version(library) for library in step.libraries},
        "data": step.data.key if step.data else None,
        "place": _ANYTHING.dump_python(step.place, mode="json"),
        **({"hub": hub} if hub else {}),  # other steps keep the keys from before this field existed
    }


def key_of(content: Mapping[str, Any]) -> str:
    """sha256 of ingredients."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
