"""The file of an index: safetensors, so that lists can be read one by one, and nothing in it is ever executed.

    embeddings   N×D, float32, rows of length 1, list by list
    digests      L×32, uint8: sha256 of each list's embeddings
    centroids    L×D, float32, of length 1
    starts       L+1, int64: where each list starts
    paths        uint8: the bytes of all paths (usually UTF-8), in the order of `embeddings`
    path_starts  N+1, int64: where each path starts
    sizes        N, int64: sizes of the embedded files, bytes
    mtimes_ns    N, int64: their modification times, ns since 1970
    sha256       N×32, uint8: digests of their content

Its note has the rest (`About`), and the digest of each tensor but `embeddings`. A list is checked when it is read.

faiss has a format of its own, but its reader trusts what it reads (github.com/facebookresearch/faiss/issues/5400).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from targets.errors import first_line
from zoo.errors import GalleryError
from zoo.output_file import write_by
from zoo.use.unchanged import File

FORMAT = "zoo.index/1"
DIGEST = 32  # bytes of a sha256
NAMES = "surrogateescape"  # how Python holds names of files that are not UTF-8
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust ends the text of an error of the system
SHA256 = re.compile(r"^[0-9a-f]{64}$")


class About(BaseModel):
    """What an index is of, and how well it finds.

    Attributes:
        probe: lists that are searched.
        recall: queries whose nearest image was found when the index was made, %.
        queries: how many these were.
        faiss: version that made it.
        digests: sha256 by tensor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(FORMAT, pattern=f"^{FORMAT}$")
    model: str
    target: str
    precision: str
    artifact_sha256: str = Field(pattern=SHA256.pattern)
    folder: str
    probe: int = Field(ge=1)
    recall: float = Field(ge=0, le=100)
    queries: int = Field(ge=0)
    faiss: str
    digests: dict[str, str]


@dataclass(frozen=True, eq=False)
class Tensors:
    """See the module. `rows_of` reads the embeddings of a list."""

    centroids: np.ndarray
    starts: np.ndarray
    paths: np.ndarray
    path_starts: np.ndarray
    sizes: np.ndarray
    mtimes_ns: np.ndarray
    sha256: np.ndarray
    rows_of: Callable[[int], np.ndarray]

    def path(self, place: int) -> str:
        """Path of an image below the folder.

        Raises:
            GalleryError: it leads out of the folder.
        """
        start, end = self.path_starts[place : place + 2]
        path = self.paths[start:end].tobytes().decode(errors=NAMES)
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise GalleryError(f"the index names an image outside its folder: {path}. Make it again: zoo index GALLERY")
        return path

    def file(self, place: int) -> File:
        """State of its file when it was embedded."""
        return File(int(self.sizes[place]), int(self.mtimes_ns[place]), self.sha256[place].tobytes().hex())


def _digest(array: np.ndarray) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()


def _note(about: About) -> str:
    """The note, with a digest of itself."""
    text = about.model_dump_json()
    return json.dumps({"about": text, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def write_index(path: Path, about: dict[str, Any], embeddings: np.ndarray, small: dict[str, np.ndarray]) -> About:
    """Write an index in one rename.

    Args:
        about: fields of `About`, without `digests`.
        embeddings, small: the tensors of the module; `digests` is added.

    Raises:
        OutputError: it can't be written.
    """
    starts = small["starts"].tolist()
    digests = b"".join(_digest(embeddings[start:end]) for start, end in pairwise(starts))
    small = {**small, "digests": np.frombuffer(digests, np.uint8).reshape(-1, DIGEST)}
    whole = About(**about, digests={name: _digest(array).hex() for name, array in sorted(small.items())})
    tensors = {"embeddings": embeddings, **small}
    write_by(path, lambda fresh: _save(tensors, fresh, {"zoo": _note(whole)}))
    return whole


def _save(tensors: dict[str, np.ndarray], path: Path, note: dict[str, str]) -> None:
    """Write a safetensors file; its errors of the disk become errors of the system.

    Raises:
        OSError: it can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(tensors, path, note)
    except SafetensorError as error:
        if found := OS_ERROR.search(str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from None
        raise


KINDS = {  # of the small tensors: type, and shape by N, L and D
    "digests": ("U8", "L32"), "centroids": ("F32", "LD"), "starts": ("I64", "l"), "paths": ("U8", "*"),
    "path_starts": ("I64", "n"), "sizes": ("I64", "N"), "mtimes_ns": ("I64", "N"), "sha256": ("U8", "N32"),
}  # fmt: skip


def _read_about(note: dict[str, str] | None) -> About:
    try:
        outer = json.loads((note or {})["zoo"])
        text, digest = outer["about"], outer["sha256"]
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ValueError("its note is damaged")
        return About.model_validate_json(text)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it has no note of zoo index") from None
    except ValidationError:
        raise ValueError("another version of zoo wrote it") from None


def _checked(name: str, array: np.ndarray, about: About) -> np.ndarray:
    if _digest(array).hex() != about.digests.get(name):
        raise ValueError(f"the sha256 of its {name} differs")
    return array


def _offsets(name: str, array: np.ndarray, end: int) -> np.ndarray:
    if array[0] != 0 or array[-1] != end or (np.diff(array) < 0).any():
        raise ValueError(f"its {name} are not ascending")
    return array


def _tensors(path: Path, file: Any, about: About) -> Tensors:
    """Read and check all but the embeddings."""
    embeddings = file.get_slice("embeddings")
    images, dimension = embeddings.get_shape()
    small = {name: _checked(name, file.get_tensor(name), about) for name in KINDS}
    lists = len(small["centroids"])
    shapes = {
        "L32": (lists, DIGEST), "LD": (lists, dimension), "l": (lists + 1,), "n": (images + 1,), "N": (images,),
        "N32": (images, DIGEST), "*": small["paths"].shape,
    }  # fmt: skip
    for name, (_, shape) in KINDS.items():
        if small[name].shape != shapes[shape]:
            raise ValueError(f"its {name} have another shape")
    starts = _offsets("starts", small["starts"], images)
    _offsets("path_starts", small["path_starts"], small["paths"].size)
    digests = small.pop("digests")

    def rows_of(number: int) -> np.ndarray:
        rows: np.ndarray = embeddings[int(starts[number]) : int(starts[number + 1])]
        if _digest(rows) != digests[number].tobytes():
            raise _damaged(path, f"the sha256 of list {number} differs")
        return rows

    return Tensors(**small, rows_of=rows_of)


def _damaged(path: Path, why: str) -> GalleryError:
    return GalleryError(f"{path} is damaged or no index: {why}. Make it again: zoo index GALLERY -o {path}")


def read_index(path: Path) -> tuple[About, Tensors]:
    """Read a file of `write_index`; the embeddings when they are needed.

    Raises:
        GalleryError: it can't be read, is damaged, or is no index.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as content:
            if content.read(4) == b"PK\x03\x04":
                raise GalleryError(
                    f"{path} is a gallery, not an index. Search it with --gallery {path}, or make an index of it: "
                    f"zoo index {path} -o {path.with_suffix('.index')}"
                )
        file: Any = safe_open(path, framework="numpy")
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - it is no mapping
        about = _read_about(file.metadata())
        if kinds != {"embeddings": "F32", **{name: kind for name, (kind, _) in KINDS.items()}}:
            raise ValueError("it has other tensors")
        return about, _tensors(path, file, about)
    except OSError as error:
        raise GalleryError(
            f"can't read the index {path}: {error.strerror or error}. Name a file of zoo index, or make one: "
            f"zoo index GALLERY -o {path}"
        ) from None
    except (SafetensorError, ValueError, IndexError) as error:
        raise _damaged(path, first_line(error)) from None
