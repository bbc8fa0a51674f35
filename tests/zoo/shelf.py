"""A hand-made release with a real graph, for tests of its documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.data.images import Input
from pipeline.files import sha256
from tests.zoo.tables.rows import AGREEMENT, measurement, pending, release
from zoo.release.manifest import Artifact, Manifest
from zoo.release.measurements import Measured, Pending

SIZE = Input(height=24, width=32)
DIMENSION = 8
SITES = [
    {"site": "layer1.conv", "width_before": 64, "width_after": 16, "parameters_before": 4000, "parameters_after": 1000,
     "macs_before": 40000, "macs_after": 10000},
    {"site": "layer2.conv", "width_before": 32, "width_after": 0, "parameters_before": 2000, "parameters_after": 0,
     "macs_before": 20000, "macs_after": 0},
]  # fmt: skip


def a_calibration(**changes):
    """A calibration of an int8 graph for onnxruntime-cpu that passes the gate."""
    return {
        "network": "student", "precision": "int8", "target": "onnxruntime-cpu", "judge": "onnxruntime",
        "agreement": AGREEMENT, "holds": True, "activations": "asymmetric", "images": ["a.jpg", "b.jpg"],
        "float_layers": ["conv_7"], "layers": 20,
    } | changes  # fmt: skip


def an_artifact(path="graph/model.onnx", precision="fp32", target=None, runtime=None, digest="c" * 64, size=1000):
    return {
        "path": path, "size_bytes": size, "sha256": digest, "precision": precision, "target": target,
        "runtime": runtime,
    }  # fmt: skip


def a_manifest(**changes) -> Manifest:
    """big@1.0.0: valid, with two compacted sites and an int8 artifact for onnxruntime-cpu.

    Args:
        changes: fields of the manifest, each in place of the whole one.
    """
    values = release().manifest.model_dump(mode="json")
    values["compression"]["sites"] = SITES
    values["calibrations"] = [a_calibration()]
    values["artifacts"] = [
        an_artifact(), an_artifact("onnxruntime-cpu/model.onnx", "int8", "onnxruntime-cpu", "onnxruntime", "d" * 64),
    ]  # fmt: skip
    values["provenance"]["libraries"] = {"numpy": "2.4.6", "onnxruntime": "1.32.0", "torch": "2.15.0+cpu"}
    return Manifest.model_validate(values | changes)


def a_measurement(**changes) -> Measured:
    """Of the student in int8 on onnxruntime-cpu, which ships; see `tests.zoo.tables.rows.measurement`."""
    runtime = {"name": "onnxruntime", "version": "1.32.0", "device": "CPU"}
    return measurement(**{"target": "onnxruntime-cpu", "runtime": runtime} | changes)


def a_pending(target="jetson-orin-nano") -> Pending:
    """A target whose device has not run yet."""
    return pending(target)


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
