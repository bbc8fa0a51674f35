"""Embed images with this release, without zoo. Needs numpy, Pillow, and onnxruntime or openvino.

python run.py a.jpg b.jpg                 one line of JSON per image: {"image": …, "embedding": […]}
python run.py --artifact FILE a.jpg       the same with a shipped artifact in place of the fp32 graph
python run.py                             compares the graph, and each shipped artifact that runs here, with the golden
                                          embedding; exit code 1 if one is too far off, or none runs
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
MAIN = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}  # the file of an artifact that is loaded


def load(path: str, runtimes: tuple[str, ...]) -> Any:
    """Load an artifact as a function: uint8 N×H×W×3 RGB → [float32 N×D, rows of length 1]. May raise ImportError."""
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
    """Embedding of an image file, D float32."""
    try:
        picture = open_rgb(Path(name)).image.resize(size, Image.Resampling.BILINEAR)
    except UNREADABLE as error:
        sys.exit(f"can't read {name}: {error}")
    return np.array(run(np.asarray(picture)[None])[0][0])


def check(size: tuple[int, int]) -> int:
    """Print the cosine of each artifact to the golden embedding; return the exit code."""
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
            continue  # weights for training, or an auxiliary file of a model
        runtimes = MAIN.get(suffix, ()) if path == GRAPH else tuple({runtime} & {*MAIN.get(suffix, ())})
        try:
            if not (HERE / path).is_file():
                print(f"{name}: not checked, the file is not here")
                continue
            if not runtimes:
                raise ImportError
            found = embed(load(path, runtimes), str(PICTURE), size)
        except ImportError:
            print(f"{name}: not checked, it needs {runtime or ' or '.join(runtimes)}, which is not installed")
            continue
        except Exception as error:  # noqa: BLE001 - runtimes have no common base class of errors
            print(f"{name}: does not run: {' '.join(str(error).split())[:200]}")
            right.append(False)
            continue
        fits = found.shape == (len(golden["embedding"]),)
        cosine, least = float(found @ golden["embedding"]) if fits else 0.0, golden["min_cosine"][one["precision"]]
        print(f"{name}: cosine to the golden embedding {cosine:.6f}; at least {least} expected")
        right.append(cosine >= least)
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*")
    parser.add_argument("--artifact", default=GRAPH, metavar="FILE", help="such as openvino-cpu/model.xml")
    given = parser.parse_args()
    size = Image.open(PICTURE, formats=["PNG"]).size
    if not given.image:
        sys.exit(check(size))
    if Path(given.artifact).suffix not in MAIN or not (HERE / given.artifact).is_file():
        sys.exit(f"{given.artifact} is not an artifact of this release that onnxruntime or openvino can run")
    runner = load(given.artifact, MAIN[Path(given.artifact).suffix])
    for image in given.image:
        print(json.dumps({"image": image, "embedding": embed(runner, image, size).tolist()}))
