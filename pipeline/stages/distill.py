"""Stage `distill`: Capacity Dynamic Distillation. The student starts as heavy as the teacher and shrinks as it learns.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.data.samples import Index
from pipeline.method.settings import Distillation
from pipeline.networks.build import LocalWeights, Network
from pipeline.work import Work

if TYPE_CHECKING:
    from pipeline.training.supervised import Classified

VERSION = 2
LIBRARIES = (*IMAGES, "torch", "torchvision", "timm")


class Distill(Distillation):
    """Where the student starts, and how it is distilled."""

    init: Literal["pretrained", "teacher", "random"] = "pretrained"
    weights: LocalWeights = None


def _start(settings: Distill, network: Network, input: Input, teacher: Classified, weights: Path | None) -> Classified:
    """The student before its first step."""
    from pipeline.networks.build import build_network
    from pipeline.training.supervised import Classified

    pretrained = settings.init == "pretrained"
    embedder = build_network(network, input, pretrained=pretrained, weights=weights if pretrained else None)
    student = Classified(embedder, teacher.classifier.out_features)
    if settings.init == "teacher":
        student.load_state_dict(teacher.state_dict())
    return student


def check_student(input: Input, network: Network, teacher: Network, settings: Distill) -> None:
    """Find out, before a teacher is trained for hours, whether a student can be distilled from it as asked.

    Raises:
        PipelineError: no sites, stages of other widths, or a budget that can't be met.
    """
    from pipeline.method.cdd import make_budget
    from pipeline.networks.build import build_network
    from pipeline.networks.sites import find_sites, pair_sites

    student = build_network(network, input)
    sites = find_sites(student, settings.sites)
    if teacher != network:
        pair_sites(sites, find_sites(build_network(teacher, input), settings.sites))
    make_budget(student, sites, settings)


def distill_student(
    work: Work,
    *,
    data: Index,
    seed: int,
    input: Input,
    network: Network,
    sampling: Sampling,
    settings: Distill,
    weights: Path | None,
    teacher: Path,
) -> None:
    """Write `student.safetensors` (embedder with compactors), `metrics.csv` and `accuracy.json`.

    Args:
        weights: the backbone's local pretrained weights, for `init: pretrained`.
        teacher: folder of the stage `teacher`.
    """
    import torch

    from pipeline.data.batches import TrainingBatches
    from pipeline.method.cdd import CapacityDynamicDistillation
    from pipeline.networks.saved import load_network
    from pipeline.networks.weights import load_module, save_module
    from pipeline.retrieval.evaluate import evaluate_network
    from pipeline.training.loop import fit
    from pipeline.training.supervised import Classified

    torch.manual_seed(seed)
    frozen = Classified(load_network(teacher), data.train.identity_count)
    load_module(teacher / "classifier.safetensors", frozen.classifier)
    student = _start(settings, network, input, frozen, weights)
    batches = TrainingBatches(data.train, input, sampling, seed, work.workers)
    task = CapacityDynamicDistillation(student, frozen.to(work.device), settings)
    fit(task, batches, settings, work.scratch, work.device, work.progress)
    save_module(work.out / "student.safetensors", student.embedder)
    (work.out / "metrics.csv").write_bytes((work.scratch / "metrics.csv").read_bytes())
    accuracy = evaluate_network(student.embedder, data.query, data.gallery, input, work.device)
    work.write_json("accuracy.json", accuracy.model_dump())
