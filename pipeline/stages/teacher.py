"""Stage `teacher`: a timm network fine-tuned on the identities with identity and triplet loss."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.data.samples import Index
from pipeline.engine.work import Work
from pipeline.networks.factory import LocalWeights, Network, Revision, Weights
from pipeline.stages.trained import write_training
from pipeline.training.schedule import Supervision

VERSION = 5
LIBRARIES = (*IMAGES, "torch", "torchvision", "timm")


class Teacher(Supervision):
    """Initial weights of the backbone, and the schedule of fine-tuning."""

    architecture: str | None = Field(
        None, description="another one than the student's, such as a deeper or wider one of the same family"
    )
    last_stride: Literal[1, 2] | None = Field(
        None,
        exclude_if=lambda stride: stride is None,  # so that recipes without it keep their digests
        description="another stride of its last stage than the student's (`network.last_stride`)",
    )
    pretrained: bool | Literal["release"] = Field(
        True, description="start from timm's weights, from random ones (false), or from the network of `from`"
    )
    weights: LocalWeights = None
    revision: Revision = None


def train_teacher(
    work: Work,
    *,
    data: Index,
    seed: int,
    input: Input,
    network: Network,
    sampling: Sampling,
    settings: Teacher,
    weights: Weights,
    layers: Path | None = None,
) -> None:
    """Write the network (see `pipeline.networks.serialization`), its classifier, metrics, accuracy and cost.

    Args:
        weights: initial weights; None: random.
        layers: description of a release's network, if it starts from one; `weights` are then that network's.

    Raises:
        WeightsError: pretrained weights are missing or do not match.
        TrainingDiverged: see `pipeline.training.loop.fit`.
    """
    import torch

    from pipeline.data.batches import TrainingBatches
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.cost import network_cost
    from pipeline.networks.released import starting_network
    from pipeline.networks.serialization import save_network
    from pipeline.networks.weights import save_module
    from pipeline.retrieval.evaluate import evaluate_network
    from pipeline.training.loop import fit
    from pipeline.training.supervised import Classified, SupervisedTask

    torch.manual_seed(seed)
    embedder = starting_network(network, input, weights, layers, data.train, seed)
    classified = Classified(embedder, data.train.identity_count, settings.head_init, trained=layers is not None)
    batches = TrainingBatches(
        data.train, input, sampling, seed, work.workers, work.processes.index, work.processes.count
    )
    fit(SupervisedTask(classified, settings), batches, settings, work.scratch, work.processes, work.progress)
    if not work.main:
        return
    save_network(work.out, embedder, network, input)
    save_module(work.out / "classifier.safetensors", classified.classifier)
    (work.out / "metrics.csv").write_bytes((work.scratch / "metrics.csv").read_bytes())
    accuracy = evaluate_network(embedder, data.query, data.gallery, input, work.device)
    work.write_json("accuracy.json", accuracy.model_dump())
    write_training(work, settings.precision)
    work.write_json("cost.json", network_cost(fuse_branches(embedder), input).model_dump())
