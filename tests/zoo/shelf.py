"""A hand-made release with a real graph, for tests of its documents."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from pipeline.data.images import Input
from targets.files import sha256
from tests.zoo.records import measurement
from zoo.release.manifest import Manifest
from zoo.release.record import Artifact

SIZE = Input(height=24, width=32)
DIMENSION = 8
# of the student in int8 on onnxruntime-cpu, which ships
a_measurement = partial(measurement, target="onnxruntime-cpu")


def write_graph(path: Path, noise: float = 0.0, size: Input = SIZE, dimension: int = DIMENSION) -> Path:
    """A graph as the stage `export` makes them: uint8 N×H×W×3 → float32 N×D of length 1.

    Args:
        noise: error of its weights, as after quantisation.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = random.normal(size=(size.height * size.width * 3, dimension))
    weights = (weights + noise * random.normal(size=weights.shape)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["long"]),
        helper.make_node("LpNormalization", ["long"], ["embeddings"], axis=1, p=2),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size.height, size.width, 3])]
    outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", dimension])]
    graph = helper.make_graph(nodes, "shelf", inputs, outputs, [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def fill(folder: Path, manifest: Manifest, noise: float = 0.0) -> Manifest:
    """Write the artifacts that a manifest names, each a real graph; the manifest with their true sizes and digests.

    Args:
        noise: of the weights of graphs that are not in fp32.
    """
    artifacts = []
    for artifact in manifest.artifacts:
        path = write_graph(folder / artifact.path, noise if artifact.precision != "fp32" else 0.0)
        facts = {"size_bytes": path.stat().st_size, "sha256": sha256(path)}
        artifacts.append(Artifact.model_validate(artifact.model_dump() | facts))
    return manifest.model_copy(update={"artifacts": artifacts})
