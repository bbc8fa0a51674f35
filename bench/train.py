"""Images a second of a whole training step: fine-tuning, distillation, CDD, and CDD with RGGR; and what speeds it up.

    python bench/train.py                                          ResNet-50, 256×256, batch 96
    python bench/train.py --architecture resnet10t --size 64 --batch 64
    python bench/train.py --dataset hcmc --data-root /data         images of a data set of your own

A step is what training does: forward (of the teacher too), backward, gradients reset, SGD. In the first two tables its
images lie on the device already; the second changes one thing at a time of the last task. The third reads images from
files, as training does: alone, and beside training, with the share of time that training waits for them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from bench.figures import write_figures
from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import open_dataset
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.settings import Distillation, Resetting
from pipeline.method.small import FixedStudent
from pipeline.networks.build import Network, build_network
from pipeline.processes import Processes
from pipeline.progress import Silent
from pipeline.training.learner import Learner
from pipeline.training.schedule import Supervision
from pipeline.training.supervised import Classified, SupervisedTask
from pipeline.training.task import Task
from pipeline.work import Work
from targets.device import this_device
from zoo.catalogue import load_catalogue

WARM_UP = 3
PLAIN = Distillation(learn_epochs=0, rggr=Resetting(by="none"))
PAPER = Distillation(learn_epochs=0)
Pair = tuple[Classified, Classified]  # student and teacher
TASKS: dict[str, Callable[[Pair], Task]] = {
    "fine-tuning": lambda pair: SupervisedTask(pair[0], Supervision()),
    "distillation": lambda pair: FixedStudent(*pair, PLAIN, cut=False),
    "CDD": lambda pair: CapacityDynamicDistillation(*pair, PLAIN),
    "CDD + RGGR": lambda pair: CapacityDynamicDistillation(*pair, PAPER),
}


class Contiguous(Learner):
    """With images as they come, and not with channels last."""

    memory_format = torch.contiguous_format


def make_learner(
    name: str, options: argparse.Namespace, device: str, kind: type[Learner], precision: str, identities: int = 576
) -> Learner:
    """A task of the first table, ready to learn."""
    torch.manual_seed(0)
    size = Input(height=options.size, width=options.size)
    network = Network(architecture=options.architecture, last_stride=options.last_stride)
    student, teacher = (Classified(build_network(network, size), identities) for _ in range(2))
    task = TASKS[name]((student, teacher.to(device)))
    task.train()
    return kind(task, Supervision(lr=1e-4, precision=precision), device)


def images_per_second(
    name: str,
    options: argparse.Namespace,
    device: str,
    kind: type[Learner] = Learner,
    precision: str = "fp32",
    compiled: bool = False,
) -> float:
    """Median over steps, after some that are not counted."""
    learner = make_learner(name, options, device, kind, precision)
    if compiled:
        learner.forward = torch.compile(learner.forward)  # type: ignore[assignment]
    images = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8, device=device)
    labels = torch.arange(options.batch, device=device) // 2
    times = []
    for step in range(options.steps + WARM_UP):
        begun = perf_counter()
        learner(images, labels, 1.0)
        if device == "cuda":
            torch.cuda.synchronize()
        if step >= WARM_UP:
            times.append(perf_counter() - begun)
    return options.batch / median(times)


def reading(options: argparse.Namespace, device: str, precision: str) -> dict[str, float]:
    """Images a second that are read alone, and that are learnt from beside reading; share of time spent waiting."""
    with TemporaryDirectory() as folder:
        work = Work(Path(folder), Path(folder), Processes(device), Silent())
        dataset = load_catalogue().datasets[options.dataset]
        data = open_dataset(options.dataset, dataset, options.data_root, Path(folder))
        size = Input(height=options.size, width=options.size)
        sampling = Sampling(identities=options.batch // 4, images=4)

        def batches() -> TrainingBatches:
            return TrainingBatches(data.train, size, sampling, 0, work.workers)

        def run(learn: Callable[..., object]) -> tuple[float, float]:
            source, taken, waited, step, begun = batches(), 0, 0.0, 0, perf_counter()
            epoch = 0
            while step < options.steps + WARM_UP:
                stream = source.epoch(epoch)
                for _ in range(min(len(source), options.steps + WARM_UP - step)):
                    if step == WARM_UP:
                        begun, waited, taken = perf_counter(), 0.0, 0
                    asked = perf_counter()
                    images, labels = next(stream)
                    waited += perf_counter() - asked
                    learn(images, labels, 1.0)
                    taken += len(images)
                    step += 1
                epoch += 1
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = perf_counter() - begun
            return taken / seconds, waited / seconds

        alone, _ = run(lambda *_: None)
        learner = make_learner("CDD + RGGR", options, device, Learner, precision, data.train.identity_count)
        together, waiting = run(learner)
    return {"workers": work.workers, "read": alone, "learnt": together, "waiting": waiting}


def show(title: str, rows: dict[str, float]) -> None:
    """A table with ratios to its first row."""
    first = next(iter(rows.values()))
    print(f"{title:32}{'images/s':>10}{'ratio':>8}")
    for name, speed in rows.items():
        print(f"{name:32}{speed:10.1f}{speed / first:8.2f}")


def main() -> None:
    """Measure, print tables, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--last-stride", type=int, default=1, choices=[1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--dataset", default="toycars", help="of the catalogue, for the third table")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out; it starts slowly")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    tasks = {name: images_per_second(name, options, device) for name in TASKS}
    last = partial(images_per_second, "CDD + RGGR", options, device)
    ways = {
        "contiguous, fp32": last(Contiguous),
        "channels_last, fp32": last(),
        "channels_last, bf16": last(precision="bf16"),
    }
    if not options.no_compile:
        ways["channels_last, fp32, compiled"] = last(compiled=True)
        ways["channels_last, bf16, compiled"] = last(precision="bf16", compiled=True)
    precision = "bf16" if ways["channels_last, bf16"] > ways["channels_last, fp32"] else "fp32"
    read = reading(options, device, precision)
    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {version('torch')}")
    print(f"{options.architecture}, {options.batch} × {options.size}²")
    show("step", tasks)
    show("CDD + RGGR", ways)
    print(f"images of {options.dataset}, {read['workers']} reading processes, {precision}")
    print(f"{'read, and nothing else':32}{read['read']:10.1f}{read['read'] / read['learnt']:8.2f}")
    print(f"{'CDD + RGGR beside it':32}{read['learnt']:10.1f}{1:8.2f}    waiting {read['waiting']:.1%}")
    write_figures(options, {"images_per_second": {**tasks, **ways}, "reading": read})


if __name__ == "__main__":
    main()
