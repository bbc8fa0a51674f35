"""Stage `distill`: a student that starts as large as its teacher, learns from it, and shrinks.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.data.samples import Index, Samples
from pipeline.engine.work import Work
from pipeline.method.settings import Distillation
from pipeline.networks.factory import LocalWeights, Network, Revision, Weights
from pipeline.stages.latency_budget import LatencyBudget
from pipeline.stages.trained import write_training

if TYPE_CHECKING:
    from pipeline.training.supervised import Classified

VERSION = 6
LIBRARIES = (*IMAGES, "torch", "torchvision", "timm")
COMPACTED = "student.safetensors"  # a student with compactors; others are saved like networks
METRICS = "metrics.csv"


class Distill(Distillation):
    """Initial weights of the student, and the settings of distillation."""

    init: Literal["pretrained", "teacher", "random", "release"] = Field(
        "pretrained",
        description="start from timm's weights, the teacher, random ones, or the network of `from`",
    )
    weights: LocalWeights = None
    revision: Revision = None

    @property
    def libraries(self) -> tuple[str, ...]:
        """Libraries whose versions the result depends on."""
        return (*LIBRARIES, "torch-pruning") if self.method == "torch_pruning" else LIBRARIES

    @model_validator(mode="after")
    def _there_is_something_to_rank(self) -> Self:
        ranks = not self.compacts and self.method != "fixed" and self.importance != "position"
        if self.init == "random" and ranks and not self.learn:
            raise ValueError(
                f"importance: {self.importance} needs a trained student: set init to teacher, pretrained or "
                "release, or learn_epochs to an epoch or more"
            )
        return self


def _start(
    settings: Distill,
    network: Network,
    input: Input,
    teacher: Classified,
    weights: Weights,
    layers: Path | None,
    samples: Samples,
    seed: int,
) -> Classified:
    """The student before its first step."""
    from pipeline.networks.released import starting_network
    from pipeline.training.supervised import Classified

    own = weights if settings.init in ("pretrained", "release") else None
    embedder = starting_network(network, input, own, layers, samples, seed)
    trained = settings.init == "release"
    student = Classified(embedder, teacher.classifier.out_features, settings.head_init, trained=trained)
    if settings.init == "teacher":
        student.load_state_dict(teacher.state_dict())
    return student


def check_student(
    input: Input,
    network: Network,
    teacher: Network,
    settings: Distill,
    layers: Path | None = None,
    teacher_layers: Path | None = None,
) -> list[str]:
    """Check, before hours of training a teacher, that a student can be distilled from it as requested.

    Args:
        layers, teacher_layers: description of the release's network, where one starts from it.

    Returns:
        Lines to print before the build begins: which channels can't be removed, which features do not compare, and
        why.

    Raises:
        PipelineError: no sites, stages of different widths where all must compare, a network that can't run with fewer
            channels, or a budget that can't be met.
    """
    from pipeline.method.allocation import channels_above
    from pipeline.method.budget import make_budget
    from pipeline.method.cost_model import CostModel
    from pipeline.method.deap import check_places
    from pipeline.method.importance import position_scores
    from pipeline.method.widths import try_narrow
    from pipeline.networks.branches import fuse_branches
    from pipeline.networks.cost import network_cost
    from pipeline.networks.coupled import left_whole
    from pipeline.networks.pairs import check_all_paired, pair_writers, teacher_sites
    from pipeline.networks.released import structure
    from pipeline.networks.sites import find_sites

    student = structure(network, input, layers)
    sites = find_sites(student, settings.sites)
    network_cost(fuse_branches(student), input)  # the counter may not support a network
    try_narrow(student, sites)
    if settings.method == "deap":
        check_places(student, sites)
    told = left_whole(student) if settings.sites == "coupled" else []
    if (teacher, teacher_layers) != (network, layers):
        other = structure(teacher, input, teacher_layers)
        resets = settings.method == "cdd" and settings.rggr.by == "retrieval"
        if resets or settings.features_weight:  # otherwise a teacher's features are not used
            others = teacher_sites(other, settings.sites)
            if resets:
                check_all_paired(sites, others, "distill.rggr.by: retrieval")
            told += pair_writers(sites, others).told()
        network_cost(fuse_branches(other), input)
    if settings.compress and settings.compress.measured:  # the cost on a target is not known yet
        return told
    if settings.compacts:
        make_budget(student, sites, settings)
    elif settings.compress is not None:
        model = CostModel(student, sites, settings.compress.what)
        channels_above(model, position_scores(sites), settings.compress, settings.align)
    return told


def distill_student(
    work: Work,
    *,
    data: Index,
    seed: int,
    input: Input,
    network: Network,
    sampling: Sampling,
    settings: Distill,
    weights: Weights,
    teacher: Path,
    latency: Path | None = None,
    layers: Path | None = None,
) -> None:
    """Write the student, `metrics.csv` and `accuracy.json`.

    A student with compactors is `student.safetensors`; a small one is saved as a network (see
    `networks.serialization`).

    Args:
        weights: the backbone's pretrained weights, for `init: pretrained`; the network's, for `init: release`.
        teacher: folder of the stage `teacher`.
        latency: folder of the stage `latency_budget`, if the budget limits a figure of a target.
        layers: description of a release's network, if the student has its widths.
    """
    import torch

    from pipeline.data.batches import TrainingBatches
    from pipeline.method.cdd import CapacityDynamicDistillation
    from pipeline.method.deap import AbsorbablePruning
    from pipeline.method.fixed_width import FixedStudent
    from pipeline.method.latency_model import LatencyModel, read_fit
    from pipeline.networks.serialization import load_network, save_network
    from pipeline.networks.sites import find_sites
    from pipeline.networks.weights import load_module, save_module
    from pipeline.retrieval.evaluate import evaluate_network
    from pipeline.stages.prune import train_and_cut
    from pipeline.training.loop import fit
    from pipeline.training.supervised import Classified

    def frozen() -> Classified:
        known = Classified(load_network(teacher), data.train.identity_count)
        load_module(teacher / "classifier.safetensors", known.classifier)
        return known.to(work.device)

    torch.manual_seed(seed)
    batches = TrainingBatches(
        data.train, input, sampling, seed, work.workers, work.processes.index, work.processes.count
    )
    student = _start(settings, network, input, frozen(), weights, layers, data.train, seed)
    model = None
    if latency:
        budget = LatencyBudget.read(latency)
        widths, rates = read_fit(budget.layers, budget.fit)
        model = LatencyModel(find_sites(student.embedder, settings.sites), widths, rates)
    if settings.compacts:
        kind = AbsorbablePruning if settings.method == "deap" else CapacityDynamicDistillation
        task = kind(student, frozen(), settings.with_reach(len(batches)), model)
        fit(task, batches, settings, work.scratch, work.processes, work.progress)
    elif settings.method == "fixed":
        fixed = FixedStudent(student, frozen(), settings, find_sites(student.embedder, settings.sites))
        fit(fixed, batches, settings, work.scratch, work.processes, work.progress)
    else:
        student = train_and_cut(work, student, frozen, settings, batches, network, input, seed, model)
    if not work.main:
        return
    if (work.scratch / METRICS).exists():  # trained in one go
        (work.out / METRICS).write_bytes((work.scratch / METRICS).read_bytes())
    if settings.compacts:
        save_module(work.out / COMPACTED, student.embedder)
    else:
        save_network(work.out, student.embedder, network, input)
    accuracy = evaluate_network(student.embedder, data.query, data.gallery, input, work.device)
    work.write_json("accuracy.json", accuracy.model_dump())
    write_training(work, settings.precision)
