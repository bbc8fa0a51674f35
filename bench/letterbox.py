"""What keeping an object's aspect ratio costs a network that was trained on stretched images.

python -m bench.letterbox RELEASE… --data-root DATA --out docs/results/letterbox.json

Runs the view for DeepStream with ONNX Runtime on the test set of each release, with the images resized in four ways:

- stretched as in training (bilinear, antialiased)
- stretched without antialiasing, as OpenCV and the bilinear filters of GPUs do
- letterboxed in the middle: scaled to fit, the rest black
- letterboxed in the upper left corner, as `nvinfer` with `maintain-aspect-ratio=1` does

DeepStream itself does not run here. Which of the two `nvtracker` does with `keepAspc: 1` is not documented.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from pipeline.data.dataset import open_dataset
from pipeline.data.images import decode
from pipeline.data.samples import Samples
from pipeline.progress import Silent
from pipeline.retrieval.agreement import Answered, agreement, answer
from zoo.catalogue import load_catalogue
from zoo.home import Home
from zoo.loading import provide
from zoo.release.local import Release, find_release
from zoo.views import deepstream
from zoo.views.export import Wanted, export_release

Size = tuple[int, int]  # width, height
BATCH = 32


def stretched(image: Image.Image, size: Size) -> Image.Image:
    """As in training."""
    return image.resize(size, Image.Resampling.BILINEAR)


def unfiltered(image: Image.Image, size: Size) -> Image.Image:
    """Stretched, each pixel from its four neighbours only."""
    return image.transform(size, Image.Transform.EXTENT, (0, 0, *image.size), Image.Resampling.BILINEAR)


def _inside(image: Image.Image, size: Size, share: float) -> Image.Image:
    """Scaled to fit, with a share of the black rest before it."""
    scale = min(size[0] / image.width, size[1] / image.height)
    fitting = max(1, int(scale * image.width)), max(1, int(scale * image.height))
    canvas = Image.new("RGB", size)
    corner = int(share * (size[0] - fitting[0])), int(share * (size[1] - fitting[1]))
    canvas.paste(stretched(image, fitting), corner)
    return canvas


def centred(image: Image.Image, size: Size) -> Image.Image:
    """Letterboxed in the middle."""
    return _inside(image, size, 0.5)


def cornered(image: Image.Image, size: Size) -> Image.Image:
    """Letterboxed in the upper left corner."""
    return _inside(image, size, 0)


WAYS: dict[str, Callable[[Image.Image, Size], Image.Image]] = {
    "stretched": stretched,
    "stretched, not antialiased": unfiltered,
    "letterboxed, middle": centred,
    "letterboxed, corner": cornered,
}


def _embed(session: Any, samples: Samples, size: Size, way: Callable[[Image.Image, Size], Image.Image]) -> np.ndarray:
    rows = []
    for start in range(0, len(samples), BATCH):
        paths = [samples.root / path for path in samples.paths[start : start + BATCH]]
        images = np.stack([np.asarray(way(decode(path, path).image, size)) for path in paths])
        rows.append(session.run([deepstream.VIEW.output], {deepstream.VIEW.input: deepstream.VIEW.feed(images)})[0])
    return np.concatenate(rows)


def _ratios(samples: Samples) -> list[float]:
    """Width divided by height: 10th percentile, median, 90th."""
    found = []
    for path in samples.paths:
        image = decode(samples.root / path, path).image
        found.append(image.width / image.height)
    return [round(float(one), 2) for one in np.percentile(found, (10, 50, 90))]


def measure(release: Release, home: Home, root: Path) -> dict[str, Any]:
    """mAP, R1 and the interval of the mAP lost, by way of resizing."""
    manifest = release.manifest
    data = open_dataset(
        manifest.data.name, load_catalogue().datasets[manifest.data.name], root, home.data, lambda _: None
    )
    if data.fingerprint != manifest.data.fingerprint:
        raise SystemExit(f"{manifest.data.name} below {root} is not the data of {manifest.label}")
    with TemporaryDirectory() as folder:
        record = export_release(release, home, Wanted("deepstream"), Path(folder, "view"))
        graph = Path(folder, "view", deepstream.GRAPH)
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        size = record.input.width, record.input.height
        answers: dict[str, Answered] = {}
        for name, way in WAYS.items():
            query, gallery = (_embed(session, one, size, way) for one in (data.query, data.gallery))
            answers[name] = answer(query, gallery, data.query, data.gallery)
    found = {}
    for name, one in answers.items():
        against = agreement(answers["stretched"], one)
        found[name] = {
            "map": round(one.accuracy.map, 2),
            "cmc1": round(one.accuracy.cmc1, 2),
            "map_drop_points": round(against.map_drop_points, 2),
            "map_drop_interval": [round(limit, 2) for limit in against.map_drop_interval],
        }
        print(f"{manifest.label:30} {name:28} {found[name]}")
    return {
        "release": manifest.label,
        "content_sha256": manifest.content_sha256,
        "data_fingerprint": data.fingerprint,
        "input": list(size),
        "queries": len(data.query),
        "gallery": len(data.gallery),
        "aspect_ratios": _ratios(data.query),
        "ways": found,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="+")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    home = Home.find()
    for name in given.releases:
        provide(home, name, None, Silent())
    found = [measure(find_release(home, name), home, given.data_root) for name in given.releases]
    content = {"precision": "fp32", "runtime": f"onnxruntime {onnxruntime.__version__}", "releases": found}
    if given.out:
        given.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
