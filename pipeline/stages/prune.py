"""The part of stage `distill` that removes channels from the student, at once or gradually."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.files import write_text
from pipeline.method.cost_model import CostModel, WidthCost
from pipeline.method.fixed_width import FixedStudent
from pipeline.method.selection import apply_selection, select_channels
from pipeline.method.settings import SELECTION, Distillation
from pipeline.method.torch_pruning import prune_with_library
from pipeline.networks.serialization import load_network, save_network
from pipeline.networks.sites import find_sites
from pipeline.networks.weights import load_module, save_module
from pipeline.training.loop import fit
from pipeline.training.memory_format import memory_format_on
from pipeline.training.supervised import Classified

if TYPE_CHECKING:
    from pipeline.data.batches import TrainingBatches
    from pipeline.data.images import Input
    from pipeline.engine.work import Work
    from pipeline.method.selection import Batches
    from pipeline.networks.factory import Network

SCORING = 1_000_000  # epochs from here on are drawn for scores; training never gets there
MOST_CUTS = 10
KEPT, CHOICE = "kept.json", "choice.json"


@dataclass(frozen=True)
class Cut:
    """After this many epochs, this share of the dense student's cost may remain."""

    epoch: int
    share: float


def cut_schedule(settings: Distillation, target: float) -> list[Cut]:
    """When channels are removed, and how many.

    At once: after the first phase. Gradually: at epochs of the first half of the rest, each time the same share of what
    remains.

    Args:
        target: final share of the dense student's cost.
    """
    first = round(settings.learn)
    if settings.shrink == "at_once":
        return [Cut(first, target)]
    last = max(first + 1, round((first + settings.epochs) / 2))
    count = min(MOST_CUTS, last - first)
    return [Cut(first + number * (last - first) // count, target ** ((number + 1) / count)) for number in range(count)]


def _scoring_batches(batches: TrainingBatches, device: str, memory_format: torch.memory_format) -> Batches:
    """Batches apart from those of training, the same each time."""

    def take(count: int) -> Iterator[tuple[Tensor, Tensor]]:
        endless = chain.from_iterable(batches.epoch(SCORING + number) for number in range(count))
        for images, labels in islice(endless, count):
            yield images.to(device).contiguous(memory_format=memory_format), labels.to(device)

    return take


@dataclass
class _Cutter:
    """A student that shrinks from cut to cut; the results of each cut are on disk, and are reused."""

    work: Work
    teacher: Callable[[], Classified]
    settings: Distillation
    batches: TrainingBatches
    network: Network
    input: Input
    seed: int
    model: WidthCost  # cost model of the dense student

    def cut(self, student: Classified, kept: dict[str, Tensor], to: Cut) -> tuple[Classified, dict[str, Tensor]]:
        """The student with fewer channels, and their indices in the dense student, by the site's writer."""
        folder = self.work.scratch / f"cut-{to.epoch:05d}"
        done = (folder / CHOICE).exists()
        self.work.processes.agree(str(done))
        if not done:
            self._choose(student, kept, to, folder)
            self.work.processes.wait()
        small = Classified(load_network(folder), student.classifier.out_features)
        load_module(folder / "classifier.safetensors", small.classifier)
        rows = json.loads((folder / KEPT).read_text())
        torch.manual_seed(self.seed)  # the same whether channels were chosen now or before an interruption
        return small, {name: torch.tensor(some) for name, some in rows.items()}

    def _choose(self, student: Classified, kept: dict[str, Tensor], to: Cut, folder: Path) -> None:
        work, settings = self.work, self.settings
        assert settings.compress is not None
        work.progress.say(f"choosing channels: {to.share:.1%} of the {settings.compress.what} may remain")
        started, selection = monotonic(), None
        student.to(work.device)
        memory_format = memory_format_on(torch.device(work.device), student)
        take = _scoring_batches(self.batches, work.device, memory_format)
        if settings.method == "torch_pruning":
            prune_with_library(student, self.teacher(), settings, settings.compress.what, to.share, take)
            kept = {}
        else:
            sites = find_sites(student.embedder, settings.sites)
            selection = select_channels(student, self.teacher(), sites, self.model, settings, to.share, take, self.seed)
            apply_selection(student.embedder, sites, selection)
            kept = {name: rows[selection.kept[name]] for name, rows in kept.items()}
        if work.main:
            folder.mkdir(exist_ok=True)
            save_network(folder, student.embedder, self.network, self.input)
            save_module(folder / "classifier.safetensors", student.classifier)
            write_text(folder / KEPT, json.dumps({name: rows.tolist() for name, rows in kept.items()}))
            about = {
                "epoch": to.epoch,
                "share": to.share,
                "importance": selection.importance if selection else settings.importance,
                "allocation": settings.allocation,
                "seconds": round(monotonic() - started, 1),
                "search": selection.search if selection else [],
                **({"compared": selection.compared} if selection and selection.compared else {}),
                **({"chosen": selection.chosen} if selection and selection.chosen else {}),
            }
            write_text(folder / CHOICE, json.dumps(about) + "\n")


def train_and_cut(
    work: Work,
    student: Classified,
    teacher: Callable[[], Classified],
    settings: Distillation,
    batches: TrainingBatches,
    network: Network,
    input: Input,
    seed: int,
    model: WidthCost | None = None,
) -> Classified:
    """Train a student with one schedule while removing channels; return the small student.

    The result of each cut is in the scratch folder, so that an interrupted build does not choose again. Writes
    `selection.json`: how channels were chosen at each cut, and the time it took.

    Args:
        teacher: returns a new copy each time, since features of one copy are read by one task.
        model: cost model of the budget; default: of MACs or parameters.
    """
    assert settings.compress is not None
    sites = find_sites(student.embedder, settings.sites)
    model = model or CostModel(student.embedder, sites, settings.compress.what)
    cutter = _Cutter(work, teacher, settings, batches, network, input, seed, model)
    kept: dict[str, Tensor] = {site.writer: torch.arange(site.channels) for site in sites}
    cuts, rows = cut_schedule(settings, settings.compress.share(model.dense)), list[str]()

    def train(start: int, stop: int) -> None:
        folder = work.scratch / f"from-{start:05d}"
        folder.mkdir(exist_ok=True)
        task = FixedStudent(student, teacher(), settings, sites, kept or None)
        fit(task, batches, settings, folder, work.processes, work.progress, start, stop)
        if work.main:
            lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines(keepends=True)
            rows.extend(lines if not rows else lines[1:])

    if cuts[0].epoch:
        train(0, cuts[0].epoch)
    for cut, stop in zip(cuts, [*(some.epoch for some in cuts[1:]), settings.epochs], strict=True):
        student, kept = cutter.cut(student, kept, cut)
        train(cut.epoch, stop)
    if work.main:
        write_text(work.out / "metrics.csv", "".join(rows))
        told = [json.loads((work.scratch / f"cut-{cut.epoch:05d}" / CHOICE).read_text()) for cut in cuts]
        work.write_json(SELECTION, {"cuts": told})
    return student
