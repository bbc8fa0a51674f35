"""What the parts of a manifest are made of: the base class, names and paths that are valid on every system, files,
licenses.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from targets.bundles.archive import safe_name
from targets.names import NAME
from targets.settings import Precision
from zoo.layout import RESERVED


def _stays_inside(path: str) -> str:
    if not safe_name(path) or PurePosixPath(path.casefold()).parts[0] in RESERVED:
        raise ValueError(f"{path!r} leads out of the release's folder, or is not a valid name on every system")
    return path


def _is_a_folder(name: str) -> str:
    if not safe_name(name):
        raise ValueError(f"{name!r} is not a valid name on every system")
    return name


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ReleasePath = Annotated[str, StringConstraints(max_length=255), AfterValidator(_stays_inside)]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$"), AfterValidator(_is_a_folder)]


class Record(BaseModel):
    """Base class of every part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Record):
    """One file of the release. `path` is relative to the manifest."""

    path: ReleasePath = Field(description="with `/` on every system, inside the folder; where the file is")
    size_bytes: int = Field(ge=0, description="size, bytes; no more than this is fetched or read")
    sha256: Sha256 = Field(description="digest of the content; detects changes, and names the file in a registry")


class Artifact(File):
    """A file that runs, or that others are compiled from."""

    precision: Precision = Field(description="numeric precision; its cost is in `calibrations`")
    target: str | None = Field(
        description="the target it was compiled for, so that a device pulls only its own; null for network and graph, "
        "which targets are compiled from"
    )
    runtime: str | None = Field(description="the runtime that compiled and runs it; null where `target` is")


class Licenses(Record):
    """Licenses: SPDX expressions where possible, otherwise words."""

    code: str = Field(description="license of zoo, and of run.py in the release")
    weights: str = Field(description="license of the network and everything compiled from it; whether you may ship it")
    data: str = Field(description="license of the training images; some forbid commercial use of trained networks")
