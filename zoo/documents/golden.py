"""The golden input and its embedding, to check that an artifact produces the same embedding on a device as at build.

The picture is drawn from a seed, so no data set's license applies to it. How near another artifact of the release has
to come depends on its precision only: `min_cosine` in golden/embedding.json.

- fp32: 0.999. Runtimes differ in the order of additions; the stage `export` requires 0.9999 on real images.
- fp16 and int8: 1 − 2 (1 − c), at most 0.999, where c is the smallest cosine known for what ships in that precision:
  on this picture for ONNX artifacts, which run here; on the whole test set for every artifact, as measured on its
  device or, while that is pending, when its graph was calibrated. Engines of a device can't run here. Twice the worst
  distance allows for kernels that round differently; a broken artifact is far below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import floor, isfinite
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.images import Input
from pipeline.files import write_text
from targets.onnxruntime import ARTIFACT, OnnxRuntime
from targets.settings import PRECISIONS, Precision, TargetSettings
from zoo.layout import GOLDEN_EMBEDDING, GOLDEN_INPUT, GRAPH
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Measurement

SEED = 776
OCTAVES = (2, 4, 8, 16, 32)  # cells across; finer ones are fainter, as in photographs
EXACT = 0.999


def draw(size: Input, seed: int = SEED) -> np.ndarray:
    """A smooth picture with detail at several scales, uint8 H×W×3 RGB: equal for equal size and seed."""
    random = np.random.Generator(np.random.PCG64(seed))
    total = np.zeros((size.height, size.width, 3))
    for cells in OCTAVES:
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(coarse.resize((size.width, size.height), Image.Resampling.BICUBIC), np.float64) / cells
    low, high = total.min((0, 1)), total.max((0, 1))
    picture: np.ndarray = np.round(255 * (total - low) / (high - low)).astype(np.uint8)
    return picture


def embed(folder: Path, picture: np.ndarray) -> np.ndarray:
    """Embedding (D float32) of a picture (uint8 H×W×3) by the ONNX graph in a folder, with ONNX Runtime on the CPU.

    Raises:
        ArtifactFailed: the runtime refuses the graph.
    """
    embedding: np.ndarray = OnnxRuntime(TargetSettings("onnxruntime", threads=1)).load(folder).embed(picture[None])[0]
    return embedding


def least(known: Sequence[float]) -> float:
    """The smallest correct cosine, from the known ones; see the module. None and NaN count as 0."""
    worst = float(np.min(known)) if known else 0.0
    allowed = floor(1e4 * (1 - 2 * (1 - worst))) / 1e4 if isfinite(worst) else 0.0
    return max(0.0, min(EXACT, allowed))


def _known(precision: Precision, manifest: Manifest, measurements: Sequence[Measurement]) -> Iterator[float]:
    """Smallest cosines on the test set of what ships in a precision."""
    waiting = {artifact.target for artifact in manifest.artifacts if artifact.precision == precision}
    for record in measurements:
        if isinstance(record, Measured) and record.agreement and record.ships and record.precision == precision:
            waiting.discard(record.target)
            yield record.agreement.min_cosine
    for one in manifest.calibrations:
        serves = one.target is None or one.target in waiting
        if waiting and serves and (one.network, one.precision) == ("student", precision):
            yield one.agreement.min_cosine


def write_golden(folder: Path, manifest: Manifest, measurements: Sequence[Measurement], size: Input) -> tuple[str, str]:
    """Draw the picture, embed it with the fp32 graph, and write both; return their paths in the release.

    Raises:
        ArtifactFailed: ONNX Runtime refuses a graph.
    """
    import onnxruntime

    picture = draw(size)
    (folder / GOLDEN_INPUT).parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(folder / GOLDEN_INPUT)
    embedding = embed((folder / GRAPH).parent, picture)
    min_cosine = {"fp32": EXACT}
    for precision in (one for one in PRECISIONS if one != "fp32"):
        artifacts = [artifact for artifact in manifest.artifacts if artifact.precision == precision]
        here = [
            float(embed((folder / artifact.path).parent, picture) @ embedding)
            for artifact in artifacts
            if artifact.runtime == "onnxruntime" and Path(artifact.path).name == ARTIFACT
        ]
        if artifacts:
            min_cosine[precision] = least([*here, *_known(precision, manifest, measurements)])
    content = {
        "graph": GRAPH,
        "runtime": "onnxruntime",
        "version": onnxruntime.__version__,
        "dimension": len(embedding),
        "min_cosine": min_cosine,
        "embedding": [float(value) for value in embedding],
    }
    write_text(folder / GOLDEN_EMBEDDING, json.dumps(content) + "\n")
    return GOLDEN_INPUT, GOLDEN_EMBEDDING
