"""NVIDIA Triton Inference Server: a model repository with one model.

The batch is the first axis, and `config.pbtxt` leaves it out where Triton batches (`max_batch_size` above 0). With a
fixed batch, and for the OpenVINO backend, it is part of `dims`: that backend runs batches below `max_batch_size` only
with padding.

Sources: Triton Inference Server documentation, "Model Repository", "Model Configuration"; model_config.proto; README
of triton-inference-server/openvino_backend.
"""

from __future__ import annotations

from typing import Literal, get_args

from zoo.views.made import Made, engine_script

Backend = Literal["onnxruntime", "openvino", "tensorrt"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
MAX_BATCH = 32
NAMED = {
    "onnxruntime": 'platform: "onnxruntime_onnx"',
    "openvino": 'backend: "openvino"',
    "tensorrt": 'platform: "tensorrt_plan"',
}
TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
SCRIPT = "build_engine.sh"


def graph(made: Made, backend: Backend) -> str:
    """Path of the graph. TensorRT's engine is built from it on the device."""
    suffix = "xml" if made.form == "openvino" else "onnx"
    return f"{made.name}/model.onnx" if backend == "tensorrt" else f"{made.name}/1/model.{suffix}"


def config(made: Made, backend: Backend) -> str:
    """config.pbtxt."""
    batches = backend != "openvino" and made.view.batch is None
    first = [] if batches else [made.view.batch or -1]

    def tensor(kind: str, name: str, dtype: str, inner: tuple[int | None, ...]) -> str:
        dims = ", ".join(str(one) for one in (*first, *inner))
        return f'{kind} [\n  {{\n    name: "{name}"\n    data_type: {dtype}\n    dims: [ {dims} ]\n  }}\n]\n'

    lines = [f'name: "{made.name}"', NAMED[backend], f"max_batch_size: {made.max_batch if batches else 0}"]
    if backend == "openvino":
        lines += [f'default_model_filename: "{graph(made, backend).rpartition("/")[2]}"']
    text = "\n".join(lines) + "\n"
    text += tensor("input", made.view.input, TYPES[made.view.dtype], made.shape[1:])
    text += tensor("output", made.view.output, "TYPE_FP32", (made.dimension,))
    if backend == "openvino":
        text += "instance_group [\n  {\n    kind: KIND_CPU\n  }\n]\n"
    if batches:
        text += "dynamic_batching { }\n"
    return text


def readme(made: Made, backend: Backend) -> str:
    """How to use the files."""
    engine = f"""\
- `{made.name}/{SCRIPT}`: builds `1/model.plan` from `model.onnx`. Run it first, on the machine of the server: an engine
  runs only with the TensorRT and the kind of GPU that built it.
"""
    return f"""\
{made.intro}
- `{made.name}`: a model for Triton's backend `{backend}`.
{engine if backend == "tensorrt" else ""}
```console
docker run --rm -p 8000:8000 -p 8001:8001 -v "$PWD":/models nvcr.io/nvidia/tritonserver:VERSION-py3 \\
    tritonserver --model-repository=/models
```
"""


def files(made: Made, backend: Backend) -> dict[str, str]:
    """Content by path."""
    written = {f"{made.name}/config.pbtxt": config(made, backend), "README.md": readme(made, backend)}
    if backend == "tensorrt":
        written[f"{made.name}/{SCRIPT}"] = engine_script(made, "model.onnx", "1/model.plan")
    return written
