"""Embed images with this release, without zoo. Needs numpy, Pillow, and onnxruntime or openvino.

python run.py a.jpg b.jpg    a line of JSON for each image: {"image": …, "embedding": […]}
python run.py                the cosine to the golden embedding; exit code 1 if it is too small
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
GRAPH, PICTURE, GOLDEN = HERE / "graph/model.onnx", HERE / "golden/input.png", HERE / "golden/embedding.json"


def load() -> Any:
    """The graph as a function: uint8 N×H×W×3 RGB → [float32 N×D, rows of length 1]."""
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        import openvino

        return openvino.Core().compile_model(GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = InferenceSession(GRAPH, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="*")
    names = parser.parse_args().image
    size, run = Image.open(PICTURE, formats=["PNG"]).size, load()
    for name in names or [str(PICTURE)]:
        try:
            picture = open_rgb(Path(name)).image.resize(size, Image.Resampling.BILINEAR)
        except UNREADABLE as error:
            sys.exit(f"can't read {name}: {error}")
        embedding = np.array(run(np.asarray(picture)[None])[0][0])
        if names:
            print(json.dumps({"image": name, "embedding": embedding.tolist()}))
            continue
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        cosine, least = float(embedding @ golden["embedding"]), golden["min_cosine"]["fp32"]
        print(f"cosine to the golden embedding: {cosine:.6f}; at least {least} is right")
        sys.exit(0 if cosine >= least else 1)
