"""The part of stage `distill` in which a student loses its channels at one moment: before it learns, or in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from time import monotonic
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.files import write_text
from pipeline.method.cost_model import CostModel
from pipeline.method.library import prune_with_library
from pipeline.method.selection import apply_selection, select_channels
from pipeline.method.settings import Distillation
from pipeline.method.small import FixedStudent
from pipeline.networks.saved import load_network, save_network
from pipeline.networks.sites import find_sites
from pipeline.networks.weights import load_module, save_module
from pipeline.training.loop import fit
from pipeline.training.supervised import Classified

if TYPE_CHECKING:
    from pipeline.data.batches import TrainingBatches
    from pipeline.data.images import Input
    from pipeline.method.selection import Batches
    from pipeline.networks.build import Network
    from pipeline.training.schedule import Schedule
    from pipeline.work import Work

SCORING = 1_000_000  # epochs from here on are drawn for scores: a training never gets there
KEPT, SELECTION = "kept.json", "selection.json"


def _scoring_batches(batches: TrainingBatches, device: torch.device) -> Batches:
    """Batches beside those of the training, the same ones each time."""

    def take(count: int) -> Iterator[tuple[Tensor, Tensor]]:
        endless = chain.from_iterable(batches.epoch(SCORING + number) for number in range(count))
        for images, labels in islice(endless, count):
            yield images.to(device).contiguous(memory_format=torch.channels_last), labels.to(device)

    return take


def cut_student(
    work: Work,
    student: Classified,
    teacher: Classified,
    settings: Distillation,
    batches: TrainingBatches,
    network: Network,
    input: Input,
    seed: int,
) -> tuple[FixedStudent, Schedule]:
    """Train the first phase if there is one, remove channels, and give what remains to be trained, and how long.

    What was cut lies in the scratch folder: an interrupted build does not choose again. `selection.json` of the result
    says how channels were chosen, and what choosing took.
    """
    assert settings.compress is not None
    schedule: Schedule = settings
    sites = find_sites(student.embedder, settings.sites)
    if settings.learn:
        first, begin = work.scratch / "first-phase", settings.part(settings.learn)
        first.mkdir(exist_ok=True)
        fit(FixedStudent(student, teacher, settings, sites), batches, begin, first, work.processes, work.progress)
        if work.main:
            (work.out / "metrics-first-phase.csv").write_bytes((first / "metrics.csv").read_bytes())
        schedule = settings.part(settings.epochs - settings.learn)
    folder = work.scratch / "cut"
    done = (folder / SELECTION).exists()
    work.processes.agree(str(done))
    if not done:
        student.to(work.device)
        started = monotonic()
        model = CostModel(student.embedder, sites, settings.compress.what)
        take, share = _scoring_batches(batches, torch.device(work.device)), settings.compress.share
        kept, search = None, []
        work.progress.say("choosing channels")
        if settings.method == "torch_pruning":
            prune_with_library(student, teacher, settings, model.what, share, take)
        else:
            selection = select_channels(student, teacher, model, settings, share, take, seed)
            kept = {name: rows.tolist() for name, rows in selection.kept.items()}
            search = selection.search
            apply_selection(student.embedder, sites, selection)
        if work.main:
            folder.mkdir(exist_ok=True)
            save_network(folder, student.embedder, network, input)
            save_module(folder / "classifier.safetensors", student.classifier)
            write_text(folder / KEPT, json.dumps(kept))
            about = {
                "importance": settings.importance,
                "allocation": settings.allocation,
                "seconds": round(monotonic() - started, 1),
                "search": search,
            }
            write_text(folder / SELECTION, json.dumps(about, indent=2) + "\n")
        work.processes.wait()
    small = Classified(load_network(folder), student.classifier.out_features)
    load_module(folder / "classifier.safetensors", small.classifier)
    chosen = json.loads((folder / KEPT).read_text())
    rows = {name: torch.tensor(some) for name, some in chosen.items()} if chosen else None
    if work.main:
        (work.out / SELECTION).write_bytes((folder / SELECTION).read_bytes())
    torch.manual_seed(seed)  # whether channels were chosen now or before an interruption
    return FixedStudent(small, teacher, settings, sites, rows), schedule
