"""The header of a safetensors file: names, shapes and types of its tensors, read without the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import WeightsError
from targets.errors import first_line

LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Header:
    """What a file holds.

    Attributes:
        shapes: by name of the tensor.
        types: by name of the tensor, as safetensors writes them: `F32`, `F16`, `I64`.
        about: the note of `pipeline.networks.weights.save_tensors`; empty in files of others.
    """

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    about: Mapping[str, Any] = field(default_factory=dict)


def _why(path: Path, error: Exception) -> str:
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            return "it is a pointer of Git LFS, not the file itself (run `git lfs pull` where it comes from)"
    if isinstance(error, OSError):
        return error.strerror or first_line(error)
    return f"it is damaged, cut off or no safetensors file ({first_line(error)})"


def read_header(path: Path, mend: str = "Get the file again.") -> Header:
    """Read a header, and check that the file has exactly the bytes that it promises.

    Args:
        mend: what the user can do if it can't be read.

    Raises:
        WeightsError: it is missing, cut off or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb"), safe_open(path, framework="np") as file:  # safe_open does not say why it can't open
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - safe_open can't be iterated
            shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
            types = {name: str(one.get_dtype()) for name, one in slices.items()}
            note = (file.metadata() or {}).get("about", "{}")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"can't read weights {path}: {_why(path, error)}. {mend}") from None
    about: Any = None
    with suppress(ValueError):  # other programs may write other notes
        about = json.loads(note)
    return Header(shapes, types, about if isinstance(about, dict) else {})
