"""Tests whether TensorRT-RTX, or TensorRT, builds a correct engine for this machine's GPU, and times it.

    python -m bench.rtx                                   ResNet-18 at 256×256 in fp32, fp16 and int8
    python -m bench.rtx --runtime tensorrt --architecture resnet50
    python -m bench.rtx --runtime onnxruntime             without a GPU, to try this script

TensorRT-RTX builds for listed GPU generations anywhere; for others, such as Hopper, there is only CURRENT, which needs
the GPU itself. For each precision: whether it builds, or why not; cosine to torch; and the time of a call, and of its
computation alone. Weights are random, with norms that keep every branch alive. Exits with 1 if no precision works.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.figures import SEED, write_figures
from calibration.quantize import Quantizer, write_half
from pipeline.data.images import Input
from pipeline.stages.export import deployed, write_graph
from targets.contract import Job, Target
from targets.errors import TargetError
from targets.onnxruntime import OnnxRuntime
from targets.settings import PRECISIONS, Precision, TargetSettings
from targets.tensorrt import TensorRt, TensorRtRtx
from tests.helpers import alive_network, random_images

WARM_UP = 10
Figures = dict[str, Any]
Images = np.ndarray
TARGETS: dict[str, Callable[[], Target]] = {
    "tensorrt": lambda: TensorRt(TargetSettings(runtime="tensorrt", device="GPU")),
    # without a capability: CURRENT
    "tensorrt-rtx": lambda: TensorRtRtx(
        TargetSettings(runtime="tensorrt-rtx", device="GPU", options={"capabilities": []})
    ),
    "onnxruntime": lambda: OnnxRuntime(TargetSettings(runtime="onnxruntime", device="CPU")),
}


def write_graphs(options: argparse.Namespace, folder: Path) -> tuple[dict[Precision, Path], Tensor, Images]:
    """One graph per precision, torch's embeddings of some images, and those images."""
    size = Input(height=options.size, width=options.size)
    network = deployed(alive_network(options.architecture, size=size))
    images = random_images(max(8, options.batch), size, SEED)
    paths: dict[Precision, Path] = {precision: folder / f"{precision}.onnx" for precision in PRECISIONS}
    write_graph(network, images, 18, paths["fp32"])
    write_half(paths["fp32"], paths["fp16"])
    Quantizer(paths["fp32"], images[:8], "symmetric", folder).write(paths["int8"])
    images = images[: options.batch]
    with torch.inference_mode():
        return paths, network(torch.from_numpy(images)), images


def try_precision(target: Target, graph: Path, expected: Tensor, images: Images, folder: Path, calls: int) -> Figures:
    """Measure an engine.

    Raises:
        TargetError: it does not build, or does not run.
    """
    folder.mkdir()
    begun = perf_counter()
    target.compile(graph, folder, Job(images.shape[1], images.shape[2], (len(images),), cache=folder / "cache"))
    built = perf_counter() - begun
    session = target.load(folder, folder / "cache")
    try:
        calls_ms, compute_ms = [], []
        for call in range(calls + WARM_UP):
            begun = perf_counter()
            found = session.embed(images)
            if call >= WARM_UP:
                calls_ms.append(1000 * (perf_counter() - begun))
                compute_ms.append(session.compute_ms or math.nan)
        cosine = functional.cosine_similarity(torch.from_numpy(found), expected)
    finally:
        getattr(session, "close", lambda: None)()  # for sessions that hold GPU memory
    computing = median(compute_ms)
    return {
        "build_seconds": built,
        "size_bytes": sum(path.stat().st_size for path in folder.glob("*") if path.is_file()),
        "cosine": float(cosine.min()),
        "call_ms": median(calls_ms),
        "compute_ms": None if math.isnan(computing) else computing,
    }


def main() -> None:
    """Test, print a table, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=[*TARGETS], default="tensorrt-rtx")
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    target = TARGETS[options.runtime]()
    try:
        title = target.check()
    except TargetError as error:
        sys.exit(f"Error: {error}")
    print(title)
    results: dict[str, Figures] = {}
    with TemporaryDirectory() as place:
        graphs, expected, images = write_graphs(options, Path(place))
        for precision, graph in graphs.items():
            try:
                row = try_precision(target, graph, expected, images, Path(place) / precision, options.calls)
                print(f"{precision}: cosine {row['cosine']:.5f}, a call {row['call_ms']:.2f} ms")
            except TargetError as error:
                row = {"error": str(error)}
                print(f"{precision}: {error}")
            results[precision] = row
            write_figures(options, {"seed": SEED, "runtime": title, "precisions": results})
    if all("error" in row for row in results.values()):
        sys.exit(f"Error: {title} builds and runs none of {', '.join(results)}.")


if __name__ == "__main__":
    main()
