"""Embed images with this release, without zoo. Needs numpy, Pillow, and onnxruntime or openvino.

python run.py a.jpg b.jpg    a line of JSON for each image: {"image": …, "embedding": […]}
python run.py                the cosine to the golden embedding; exit code 1 if it is too small
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
GRAPH, PICTURE, GOLDEN = HERE / "graph/model.onnx", HERE / "golden/input.png", HERE / "golden/embedding.json"


def load() -> Callable[[np.ndarray], np.ndarray]:
    """The graph as a function: uint8 N×H×W×3 RGB → float32 N×D, rows of length 1."""
    try:
        import onnxruntime
    except ImportError:
        import openvino

        model = openvino.Core().compile_model(GRAPH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: np.array(model(images)[0])
    session = onnxruntime.InferenceSession(GRAPH, providers=["CPUExecutionProvider"])
    return lambda images: np.array(session.run(None, {session.get_inputs()[0].name: images})[0])


def main(names: list[str]) -> None:
    """Embed the images of these names; without any, check the golden one."""
    size, embed = Image.open(PICTURE).size, load()

    def embedding(path: str | Path) -> np.ndarray:
        picture = Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR)
        row: np.ndarray = embed(np.asarray(picture)[None])[0]
        return row

    for name in names:
        print(json.dumps({"image": name, "embedding": embedding(name).tolist()}))
    if not names:
        golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
        cosine, least = float(embedding(PICTURE) @ golden["embedding"]), golden["min_cosine"]["fp32"]
        print(f"cosine to the golden embedding: {cosine:.6f}; at least {least} is right")
        sys.exit(0 if cosine >= least else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
