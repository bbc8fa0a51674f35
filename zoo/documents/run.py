"""Embed images with this release, without zoo. Needs numpy, Pillow, and onnxruntime or openvino.

python run.py a.jpg b.jpg                 a line of JSON for each image: {"image": …, "embedding": […]}
python run.py --artifact FILE a.jpg       the same by an artifact that ships, instead of the graph in fp32
python run.py                             how near the graph, and each artifact that ships and runs here, comes to
                                          the golden embedding; exit code 1 if one is not near enough, or none runs
"""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.decoding import UNREADABLE, open_rgb

HERE = Path(__file__).resolve().parent
GRAPH, PICTURE, GOLDEN = "graph/model.onnx", HERE / "golden/input.png", HERE / "golden/embedding.json"
MAIN = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}  # of an artifact's files the one that is loaded


def load(path: str, runtimes: tuple[str, ...]) -> Any:
    """An artifact as a function: uint8 N×H×W×3 RGB → [float32 N×D, rows of length 1]; ImportError without a runtime."""
    if "onnxruntime" in runtimes:
        try:
            from onnxruntime import InferenceSession

            session = InferenceSession(HERE / path, providers=["CPUExecutionProvider"])
            return lambda images: session.run(None, {session.get_inputs()[0].name: images})
        except ImportError:
            if "openvino" not in runtimes:
                raise
    import openvino

    core = openvino.Core()
    model, half = core.read_model(HERE / path), ["zoo", "half"]
    said = model.has_rt_info(half) and model.get_rt_info(half).astype(str) == "yes"
    half_here = said and "FP16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f16" if half_here else "f32"})


def embed(run: Any, name: str, size: tuple[int, int]) -> np.ndarray:
    """The embedding of an image file, D float32."""
    try:
        picture = open_rgb(Path(name)).image.resize(size, Image.Resampling.BILINEAR)
    except UNREADABLE as error:
        sys.exit(f"can't read {name}: {error}")
    return np.array(run(np.asarray(picture)[None])[0][0])


def check(size: tuple[int, int]) -> int:
    """Print how near each artifact comes; the exit code."""
    try:
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        listed = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"this release is damaged: {error}")
    right = []
    for one in listed:
        path, runtime, name = one["path"], one["runtime"], f"{one['path']} ({one['precision']})"
        suffix = Path(path).suffix
        if path != GRAPH and (runtime is None or suffix in (".bin", ".json")):
            continue  # weights for training, or what lies beside a model
        runtimes = MAIN.get(suffix, ()) if path == GRAPH else tuple({runtime} & {*MAIN.get(suffix, ())})
        try:
            if not (HERE / path).is_file():
                print(f"{name}: not checked, it is not here")
                continue
            if not runtimes:
                raise ImportError
            found = embed(load(path, runtimes), str(PICTURE), size)
        except ImportError:
            print(f"{name}: not checked, it needs {runtime or ' or '.join(runtimes)}, which is not here")
            continue
        except Exception as error:  # noqa: BLE001 - runtimes have no common base of errors
            print(f"{name}: does not run: {' '.join(str(error).split())[:200]}")
            right.append(False)
            continue
        fits = found.shape == (len(golden["embedding"]),)
        cosine, least = float(found @ golden["embedding"]) if fits else 0.0, golden["min_cosine"][one["precision"]]
        print(f"{name}: cosine to the golden embedding {cosine:.6f}; at least {least} is right")
        right.append(cosine >= least)
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*")
    parser.add_argument("--artifact", default=GRAPH, metavar="FILE", help="in this folder, as openvino-cpu/model.xml")
    given = parser.parse_args()
    size = Image.open(PICTURE, formats=["PNG"]).size
    if not given.image:
        sys.exit(check(size))
    if Path(given.artifact).suffix not in MAIN or not (HERE / given.artifact).is_file():
        sys.exit(f"{given.artifact} is no artifact here that onnxruntime or openvino runs")
    runner = load(given.artifact, MAIN[Path(given.artifact).suffix])
    for image in given.image:
        print(json.dumps({"image": image, "embedding": embed(runner, image, size).tolist()}))
