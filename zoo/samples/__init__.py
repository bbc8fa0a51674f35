"""Sample pictures: twelve drawn vehicles that no model was trained on, one query and four gallery pictures of each.

`python -m zoo.samples.drawing FOLDER` draws them; `zoo samples` writes copies for a user.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pipeline.files import write_bytes
from zoo.errors import OutputError

FOLDERS = ("query", "gallery")


def sample_pictures() -> dict[str, bytes]:
    """Content of all pictures (JPEG, 96×96), by `query/vehicleNN_camM.jpg` or `gallery/vehicleNN_camM.jpg`, sorted."""
    root = files("zoo.samples")
    return {
        f"{folder}/{one.name}": one.read_bytes()
        for folder in FOLDERS
        for one in sorted((root / folder).iterdir(), key=lambda found: found.name)
        if one.name.endswith(".jpg")
    }


def write_samples(folder: Path) -> list[Path]:
    """Write all pictures below a folder; equal ones that are there already stay as they are.

    Returns:
        Their paths; the queries first.

    Raises:
        OutputError: the folder can't be written, or has another file under one of the names; nothing was written then.
    """
    pictures = {folder / name: content for name, content in sample_pictures().items()}
    try:
        other = [path for path, content in pictures.items() if path.exists() and not _is(path, content)]
        if other:
            raise OutputError(f"{other[0]} is there and is not the sample of this name. Name another folder.")
        for path, content in pictures.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(path, content)
    except OSError as error:
        why = error.strerror or error
        raise OutputError(
            f"can't write the samples to {folder}: {why}. Free some space there, or name another folder."
        ) from None
    return [*pictures]


def _is(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
