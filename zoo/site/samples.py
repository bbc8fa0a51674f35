"""Drawn pictures, and what a student finds among them. No photograph is ever shown: its rights belong to others."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data import toycars
from pipeline.data.images import Input, to_pixels
from targets.errors import TargetError
from targets.onnxruntime import ARTIFACT, OnnxRuntime
from targets.settings import TargetSettings

IDENTITIES = (100, 101, 112, 113, 146, 151)  # of the test set; the first four are two pairs of near twins
CAMERAS = (1, 3, 4, 6)
QUERIES = ((100, 1), (112, 3), (146, 4))
NEAREST = 5


@dataclass(frozen=True)
class Sample:
    """A drawn picture: of which vehicle, seen by which camera."""

    identity: int
    camera: int

    @property
    def path(self) -> str:
        """Its path in the site."""
        return f"samples/vehicle-{self.identity}-camera-{self.camera}.png"

    @property
    def words(self) -> dict[str, str]:
        """Its path, and what it shows."""
        return {"file": self.path, "identity": f"vehicle {self.identity}", "camera": f"camera {self.camera}"}


SAMPLES = tuple(Sample(identity, camera) for identity in IDENTITIES for camera in CAMERAS)


@cache
def drawn(sample: Sample) -> Image.Image:
    """The picture: RGB, 96×96."""
    return toycars.picture(sample.identity, sample.camera, shot=0)


def png(sample: Sample) -> bytes:
    """The picture as a file."""
    content = io.BytesIO()
    drawn(sample).save(content, "PNG", optimize=True)
    return content.getvalue()


@dataclass(frozen=True)
class Answer:
    """The nearest pictures to one of them, nearest first, with their cosines."""

    query: Sample
    nearest: Sequence[tuple[Sample, float]]


def contact_sheet(graph: bytes, size: tuple[int, int]) -> list[Answer] | str:
    """What a graph finds for some of the pictures among all others; or why nothing is known.

    Args:
        graph: uint8 N×H×W×3 → float32 N×D of length 1, as a release has it.
        size: height and width of its input, in pixels.
    """
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return "ONNX Runtime was not installed where this page was built"
    pixels = np.stack([to_pixels(drawn(one), Input(height=size[0], width=size[1])) for one in SAMPLES])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ARTIFACT).write_bytes(graph)
        try:
            rows = OnnxRuntime(TargetSettings("onnxruntime", threads=1)).load(Path(folder)).embed(pixels)
        except TargetError:
            return "ONNX Runtime could not run its graph where this page was built"
    if rows.shape[0] != len(SAMPLES) or not np.isfinite(rows).all():
        return "its graph did not give one embedding per picture"
    similar = rows @ rows.T
    return [_answer(Sample(*query), similar) for query in QUERIES]


def _answer(query: Sample, similar: np.ndarray) -> Answer:
    at = SAMPLES.index(query)
    order = sorted((place for place in range(len(SAMPLES)) if place != at), key=lambda one: -similar[at, one])
    return Answer(query, [(SAMPLES[one], float(similar[at, one])) for one in order[:NEAREST]])
