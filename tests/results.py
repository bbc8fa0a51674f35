"""What a step of a build wrote, as JSON that can be recorded, and where two of these differ."""

import json
import re
import zipfile
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.networks.weights import load_tensors
from targets.bundles.contents import BUNDLE_LIST

FIGURES, NEAR_ZERO = 0.02, 1e-3  # relative and absolute tolerance
OF_ITS_OWN = "…"  # in place of what belongs to a machine or a recipe, and not to the stage
OWN = ("conditions", "device", "energy", "files", "libraries", "recipe")
KEPT = ("schema_version",)


def figures(values):
    """Length of an array, and how far it points along a fixed direction."""
    flat = np.asarray(values, np.float64).ravel()
    length = float(np.linalg.norm(flat))
    return [float(f"{length:.5g}"), round(float(flat @ np.cos(0.7 * np.arange(flat.size))) / (length or 1), 5)]


def tensors(named):
    """Types, shapes and figures of arrays by name."""
    return {name: [f"{one.dtype} {'x'.join(map(str, one.shape))}", *figures(one)] for name, one in named.items()}


def end_of_graph(end):
    tensor = end.type.tensor_type
    return f"{end.name} {tensor.elem_type} {[axis.dim_param or axis.dim_value for axis in tensor.shape.dim]}"


def graph(path):
    """Operators, inputs, outputs and weights of an ONNX file."""
    model = onnx.load(path)
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    return {
        "opset": {one.domain: one.version for one in model.opset_import},
        "operators": dict(sorted(Counter(node.op_type for node in model.graph.node).items())),
        "ends": [end_of_graph(end) for end in (*model.graph.input, *model.graph.output)],
        # a zero point alone may be one more or less on another CPU
        "weights": tensors({name: one for name, one in weights.items() if one.size > 1 or one.dtype.kind == "f"}),
    }


def lite(path):
    """Types, shapes and scales of the tensors of a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(str(path)).get_tensor_details()
    kinds = Counter(f"{one['dtype'].__name__} {'x'.join(map(str, one['shape']))}" for one in details)
    scales = [scale for one in details for scale in one["quantization_parameters"]["scales"].tolist()]
    return {"tensors": dict(sorted(kinds.items())), "scales": figures(scales)}


def described(path):
    """A file of a result."""
    match path.suffix:
        case ".json":
            return json.loads(path.read_text())
        case ".onnx":
            return graph(path)
        case ".npy":
            return tensors({"": np.load(path)})
        case ".safetensors":
            return tensors({name: value.numpy() for name, value in load_tensors(path)[0].items()})
        case ".xml":
            return dict(sorted(Counter(re.findall(r'<layer [^>]*type="(\w+)"', path.read_text())).items()))
        case ".param":  # ncnn's layers
            return dict(sorted(Counter(line.split()[0] for line in path.read_text().splitlines()[2:]).items()))
        case ".tflite":
            return lite(path)
        case ".md":
            return re.findall(r"^#+ .*", path.read_text(), re.MULTILINE)
        case ".zoo":
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if not name.endswith(".py"))
                return {"files": names, BUNDLE_LIST: shape(json.loads(archive.read(BUNDLE_LIST)))}
    return None


def result_of(folder):
    """All files that a step wrote, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "stage.json")
    return {path.relative_to(folder).as_posix(): described(path) for path in files}


def shape(value):
    """A JSON document without its figures: keys, and of lists the first item."""
    if isinstance(value, dict):
        return {
            key: inner if key in KEPT else OF_ITS_OWN if key in OWN else shape(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return OF_ITS_OWN


def differences(found, expected, at="result"):
    """Where two documents differ, in words."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() ^ expected.keys()):
            yield f"{at}/{key}: {'is new' if key in found else 'is gone'}"
        for key in found.keys() & expected.keys():
            yield from differences(found[key], expected[key], f"{at}/{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for place, pair in enumerate(zip(found, expected, strict=True)):
            yield from differences(*pair, f"{at}/{place}")
    elif isinstance(found, float) and isinstance(expected, float):
        if found != pytest.approx(expected, rel=FIGURES, abs=NEAR_ZERO):
            yield f"{at}: {expected:g} → {found:g}"
    elif found != expected:
        yield f"{at}: {expected!r} → {found!r}"
