"""Stage `export`: one ONNX graph with preprocessing, checked against the torch network on real images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.networks.ends import INPUT, OUTPUT
from pipeline.settings import Settings

if TYPE_CHECKING:
    from torch import nn

VERSION = 1
LIBRARIES = (*IMAGES, "torch", "timm", "onnx", "onnxscript", "onnxsim", "onnxruntime")
GRAPH = "model.onnx"
CHECKED_IMAGES = 64
TIE = 1e-5  # neighbours whose cosines differ by less are ties


class Export(Settings):
    """Limits of parity."""

    opset: int = Field(18, ge=18, le=23, description="torch exports from 18 on")
    min_cosine: float = Field(0.9999, gt=0, le=1, description="between graph and torch, for every checked image")


def deployed(embedder: nn.Module) -> nn.Module:
    """The network as it is deployed: uint8 N×H×W×3 RGB → float32 N×D of length 1.

    Cast first, then transpose: TensorRT takes uint8 only straight into a cast.
    """
    import torch
    from torch import Tensor, nn

    class Deployed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedder = embedder

        def forward(self, images: Tensor) -> Tensor:
            embeddings: Tensor = self.embedder(images.float().permute(0, 3, 1, 2))
            # functional.normalize would expand the lengths and put the batch's shape into the graph
            lengths: Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
            return embeddings / lengths.clamp_min(1e-12)

    return Deployed().eval()


def write_graph(network: nn.Module, images: np.ndarray, opset: int, path: Path) -> None:
    """Export a deployed network with a dynamic batch, and simplify the graph.

    Raises:
        CheckFailed: onnxsim changed the graph's results.
    """
    import onnx
    import torch
    from onnxsim import simplify

    from pipeline.networks.graph import quiet_exporter

    with quiet_exporter():
        program = torch.onnx.export(
            network,
            (torch.from_numpy(images[:2].copy()),),
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
        if program is None:
            raise CheckFailed("torch exported nothing; see its message above")
        simplified, same = simplify(program.model_proto)
    if not same:
        raise CheckFailed("onnxsim changed the graph's results. Try another `export.opset` or onnxsim.")
    onnx.checker.check_model(simplified, full_check=True)
    onnx.save(simplified, path)


def same_neighbours(reference: np.ndarray, other: np.ndarray) -> bool:
    """Whether each of N unit embeddings has the same nearest neighbour among the others, except for ties (`TIE`)."""
    expected, found = reference @ reference.T, other @ other.T
    for similarity in (expected, found):
        np.fill_diagonal(similarity, -np.inf)
    chosen = found.argmax(1)
    return bool(np.all(expected.max(1) - expected[np.arange(len(expected)), chosen] < TIE))


def export_network(work: Work, *, data: Index, input: Input, settings: Export, network: Path) -> None:
    """Write `model.onnx` and `export.json` (parity and cost).

    Args:
        network: folder of a stage that writes a network (`teacher` or `compact`).

    Raises:
        CheckFailed: the graph's embeddings, neighbours, parameters or MACs differ from the network's.
    """
    import onnxruntime
    import torch

    from pipeline.data.images import read_batches
    from pipeline.networks.cost import graph_cost, network_cost
    from pipeline.networks.serialization import load_deployed

    embedder = load_deployed(network)
    model = deployed(embedder)
    images = next(read_batches(data.gallery, input, CHECKED_IMAGES))
    path = work.out / GRAPH
    write_graph(model, images, settings.opset, path)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run([OUTPUT], {INPUT: images})
    with torch.inference_mode():
        reference = model(torch.from_numpy(images)).numpy()
    cosine = float((embeddings * reference).sum(1).min())
    if not cosine >= settings.min_cosine:
        raise CheckFailed(
            f"the graph's embeddings have cosine {cosine:.6f} to torch's, below export.min_cosine "
            f"({settings.min_cosine}). Try another `export.opset`."
        )
    if not same_neighbours(reference, embeddings):
        raise CheckFailed("the graph's nearest neighbours differ from torch's. Try another `export.opset`.")
    cost, expected = graph_cost(path), network_cost(embedder, input)
    if (cost.kernel_parameters, cost.macs) != (expected.kernel_parameters, expected.macs):
        raise CheckFailed(
            f"the graph has {cost.kernel_parameters} kernel parameters and {cost.macs} MACs, the network "
            f"{expected.kernel_parameters} and {expected.macs}: the export is not that of the compacted network."
        )
    work.write_json(
        "export.json",
        {"min_cosine": cosine, "images": len(images), "cost": cost.model_dump(), "opset": settings.opset},
    )
