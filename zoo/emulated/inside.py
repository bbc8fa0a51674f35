"""Embeds images with an artifact, on the emulated machine: python3 CODE JOB

Copied there beside `targets`, as a bundle carries it; imports numpy and `targets` only. Reads `job.json` and
`images.npy` of the folder JOB, and writes `embeddings.npy` there.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np

from targets.bundles.contents import read_settings
from targets.bundles.packed import make_artifact
from targets.contract import Job, Session, Target
from targets.errors import TargetError
from targets.settings import EMBED_BATCH

JOB, IMAGES, EMBEDDINGS = "job.json", "images.npy", "embeddings.npy"


def embed_images(session: Session, images: np.ndarray) -> np.ndarray:
    """Embeddings N×D of images (uint8 N×H×W×3): of the first alone, as one embeds the golden input; then in batches."""
    starts = range(1, len(images), EMBED_BATCH)
    return np.concatenate([session.embed(images[:1]), *(session.embed(images[at : at + EMBED_BATCH]) for at in starts)])


def run(folder: Path) -> None:
    """Do the job in a folder. A graph is compiled here, and a packed artifact unpacked, as on a board.

    Raises:
        TargetError: the runtime does not start here, or refuses the artifact.
    """
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    module, _, name = job["entry"].partition(":")
    target: Target = getattr(importlib.import_module(module), name)(read_settings(job["settings"]))
    print(f"emulated: {target.check()}", flush=True)
    images = np.load(folder / IMAGES, allow_pickle=False)
    artifact = Path(job["artifact"])
    if artifact.is_file():
        source, artifact = artifact, folder / "compiled"
        artifact.mkdir()
        height, width = images.shape[1:3]
        make_artifact(target, source, artifact, Job(height, width, (1, EMBED_BATCH)))
    np.save(folder / EMBEDDINGS, embed_images(target.load(artifact), images))


def main() -> None:
    """Exits with 1 and a line if the artifact can't be used."""
    try:
        run(Path(sys.argv[1]))
    except TargetError as error:
        sys.exit(f"Error: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
