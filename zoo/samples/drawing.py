"""Draws the sample pictures: `python -m zoo.samples.drawing FOLDER`.

The vehicles are those after the last one of the data set `toycars`, so no model was trained or tested on them. Like
there, they are six pairs of near twins, which differ in details only.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.data import toycars

VEHICLES = 12
QUERY_CAMERA, GALLERY_CAMERAS = 1, (2, 3, 4, 6)
QUALITY = 92  # as in the data set


def drawn() -> Iterator[tuple[str, bytes]]:
    """Name and content (JPEG) of each picture."""
    for number in range(VEHICLES):
        for camera in (QUERY_CAMERA, *GALLERY_CAMERAS):
            content = io.BytesIO()
            picture = toycars.picture(toycars.IDENTITIES + number, camera, 0)
            picture.save(content, "JPEG", quality=QUALITY)
            folder = "query" if camera == QUERY_CAMERA else "gallery"
            yield f"{folder}/vehicle{number + 1:02d}_cam{camera}.jpg", content.getvalue()


if __name__ == "__main__":
    for name, content in drawn():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
