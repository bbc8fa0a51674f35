"""Stage `distill`: Capacity Dynamic Distillation. The student starts as heavy as the teacher and shrinks as it learns.

Xie et al., "Towards a Smaller Student: Capacity Dynamic Distillation for Efficient Image Retrieval", CVPR 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator
from typing_extensions import Self

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.data.samples import Index
from pipeline.method.settings import Distillation
from pipeline.networks.build import LocalWeights, Network
from pipeline.stages.latency_budget import LATENCY
from pipeline.work import Work, read_json

if TYPE_CHECKING:
    from pipeline.training.supervised import Classified

VERSION = 3
LIBRARIES = (*IMAGES, "torch", "torchvision", "timm")
COMPACTED = "student.safetensors"  # of a student with compactors; others are saved as networks are


class Distill(Distillation):
    """Where the student starts, and how it is distilled."""

    init: Literal["pretrained", "teacher", "random"] = "pretrained"
    weights: LocalWeights = None

    @property
    def libraries(self) -> tuple[str, ...]:
        """Whose versions the result depends on."""
        return LIBRARIES if self.method == "cdd" else (*LIBRARIES, "torch-pruning")

    @model_validator(mode="after")
    def _l1_has_something_to_rank(self) -> Self:
        if self.method == "uniform_l1" and self.init == "random":
            raise ValueError("method: uniform_l1 ranks what was learnt before: set init to teacher or pretrained")
        return self


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
    from pipeline.networks.sites import find_sites, pair_writers

    student = build_network(network, input)
    sites = find_sites(student, settings.sites)
    if teacher != network:
        pair_writers(sites, find_sites(build_network(teacher, input), settings.sites))
    if settings.compress and settings.compress.measured:  # what a target takes is not known yet
        return
    if settings.method == "cdd":
        make_budget(student, sites, settings)
    else:
        from pipeline.method.small import choose_channels

        choose_channels(student, sites, settings)


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
    latency: Path | None = None,
) -> None:
    """Write the student, `metrics.csv` and `accuracy.json`.

    A student with compactors is `student.safetensors`; a small one is a network (see `pipeline.networks.saved`).

    Args:
        weights: the backbone's local pretrained weights, for `init: pretrained`.
        teacher: folder of the stage `teacher`.
        latency: folder of the stage `latency_budget`, where the budget counts what a target takes.
    """
    import torch

    from pipeline.data.batches import TrainingBatches
    from pipeline.method.cdd import CapacityDynamicDistillation
    from pipeline.method.latency_model import model_of
    from pipeline.networks.build import build_network
    from pipeline.networks.saved import load_network, save_network
    from pipeline.networks.sites import find_sites
    from pipeline.networks.weights import load_module, save_module
    from pipeline.retrieval.evaluate import evaluate_network
    from pipeline.training.loop import fit
    from pipeline.training.schedule import Schedule
    from pipeline.training.supervised import Classified
    from pipeline.training.task import Task

    def frozen() -> Classified:
        known = Classified(load_network(teacher), data.train.identity_count)
        load_module(teacher / "classifier.safetensors", known.classifier)
        return known.to(work.device)

    def train(task: Task, schedule: Schedule, folder: str = "") -> None:
        scratch = work.scratch / folder
        scratch.mkdir(exist_ok=True)
        fit(task, batches, schedule, scratch, work.processes, work.progress)
        if work.main:
            (work.out / f"metrics{folder and '-'}{folder}.csv").write_bytes((scratch / "metrics.csv").read_bytes())

    torch.manual_seed(seed)
    batches = TrainingBatches(
        data.train, input, sampling, seed, work.workers, work.processes.index, work.processes.count
    )
    student = _start(settings, network, input, frozen(), weights)
    model = model_of(read_json(latency / LATENCY), find_sites(student.embedder, settings.sites)) if latency else None
    if settings.method == "cdd":
        train(CapacityDynamicDistillation(student, frozen(), settings, model), settings)
    else:
        from pipeline.method.small import FixedStudent

        schedule: Schedule = settings
        if settings.method == "two_stage":
            train(FixedStudent(student, frozen(), settings, cut=False), settings.part(settings.learn), "first-stage")
            learnt = student.state_dict()
            student = Classified(build_network(network, input), data.train.identity_count)
            student.load_state_dict(learnt)
            schedule = settings.part(settings.epochs - settings.learn)
        train(FixedStudent(student, frozen(), settings, cut=True, model=model), schedule)
    if not work.main:
        return
    if settings.method == "cdd":
        save_module(work.out / COMPACTED, student.embedder)
    else:
        save_network(work.out, student.embedder, network, input)
    accuracy = evaluate_network(student.embedder, data.query, data.gallery, input, work.device)
    work.write_json("accuracy.json", accuracy.model_dump())
