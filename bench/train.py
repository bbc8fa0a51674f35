"""Images per second of a whole training step: fine-tuning, distillation, CDD, and CDD with RGGR; and what speeds it up.

    python -m bench.train                                          ResNet-50, 256×256, batch 96
    python -m bench.train --architecture resnet10t --size 64 --batch 64
    python -m bench.train --dataset hcmc --data-root /data         images of another data set

A step is that of training: forward (also of the teacher), backward, gradient resetting (with a full feature bank), SGD.
In the first tables its images are on the device already; then one thing at a time is changed for the last task. The
last table reads images from files, as in training: alone, and during training, with the share of time that training
waits for them. On a GPU several steps are timed together, since training does not synchronise after each of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from PIL import Image
from torch.nn import functional

from bench.figures import SEED, write_figures
from pipeline.data.batches import TrainingBatches
from pipeline.data.dataset import open_dataset
from pipeline.data.images import Input
from pipeline.data.sampler import Sampling
from pipeline.engine.processes import Processes
from pipeline.engine.work import Work
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.fixed_width import FixedStudent
from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Distillation, Resetting
from pipeline.networks.factory import Network, build_network
from pipeline.networks.sites import find_sites
from pipeline.progress import Silent
from pipeline.training.learner import Learner
from pipeline.training.precision import computes_in_bf16
from pipeline.training.schedule import Supervision
from pipeline.training.supervised import Classified, SupervisedTask
from pipeline.training.task import Task
from targets.machine.device import this_device
from zoo.catalogue import load_catalogue
from zoo.home import Home

WARM_UP = 3
TOGETHER = {"cpu": 1, "cuda": 5}  # steps that are timed together
PLAIN = Distillation(learn_epochs=0, rggr=Resetting(by="none"))
PAPER = Distillation(learn_epochs=0)
Pair = tuple[Classified, Classified]  # student and teacher
TASKS: dict[str, Callable[[Pair], Task]] = {
    "fine-tuning": lambda pair: SupervisedTask(pair[0], Supervision()),
    "distillation": lambda pair: FixedStudent(*pair, PLAIN, find_sites(pair[0].embedder, PLAIN.sites)),
    "CDD": lambda pair: CapacityDynamicDistillation(*pair, PLAIN),
    "CDD + RGGR": lambda pair: CapacityDynamicDistillation(*pair, PAPER),
}
LAST = "CDD + RGGR"

contiguous = partial(Learner, memory_format=torch.contiguous_format)  # the default is channels last, mostly


@torch.no_grad()
def fill_banks(task: Task) -> None:
    """Fill the feature banks, as they are after the first few hundred steps."""
    for module in task.modules():
        if isinstance(module, GradientResetting):
            for name, bank in module.named_buffers():
                if name.endswith("bank"):
                    bank.copy_(functional.normalize(torch.randn_like(bank)))
            module.written = module.settings.bank


def make_learner(
    name: str,
    options: argparse.Namespace,
    device: str,
    kind: Callable[..., Learner],
    precision: str,
    identities: int = 576,
) -> Learner:
    """A task of the first table, ready to train."""
    torch.manual_seed(SEED)
    size = Input(height=options.size, width=options.size)
    network = Network(architecture=options.architecture, last_stride=options.last_stride)
    student, teacher = (Classified(build_network(network, size), identities) for _ in range(2))
    task = TASKS[name]((student, teacher.to(device)))
    task.train()
    fill_banks(task)
    return kind(task, Supervision(lr=1e-4, precision=precision), device)


@dataclass(frozen=True)
class Speed:
    """Cost of a task's step. `memory_gib` is the GPU's peak, 0 on a CPU."""

    task: str
    precision: str
    images_per_second: float
    step_ms: float
    memory_gib: float
    changed: str = ""


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(
    name: str,
    options: argparse.Namespace,
    device: str,
    precision: str,
    kind: Callable[..., Learner] = Learner,
    compiled: bool = False,
    changed: str = "",
) -> Speed:
    """Median over groups of steps, after warm-up steps."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    learner = make_learner(name, options, device, kind, precision)
    if compiled:
        learner.forward = torch.compile(learner.forward)  # type: ignore[assignment]
    images = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8, device=device)
    labels = torch.arange(options.batch, device=device) // 2
    for _ in range(WARM_UP):
        learner(images, labels, 1.0)
    times, together = [], TOGETHER[device]
    for _ in range(0, options.steps, together):
        synchronise(device)
        begun = perf_counter()
        for _ in range(together):
            learner(images, labels, 1.0)
        synchronise(device)
        times.append((perf_counter() - begun) / together)
    step = median(times)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return Speed(name, precision, options.batch / step, 1000 * step, memory, changed)


def reading(options: argparse.Namespace, device: str, precision: str) -> dict[str, float | str]:
    """Images per second when only reading, and when training from files; and the share of time spent waiting."""
    with TemporaryDirectory() as folder:
        work = Work(Path(folder), Path(folder), Processes(device), Silent())
        dataset = load_catalogue().datasets[options.dataset]
        data = open_dataset(options.dataset, dataset, options.data_root, Home.find().data)
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
            synchronise(device)
            seconds = perf_counter() - begun
            return taken / seconds, waited / seconds

        alone, _ = run(lambda *_: None)
        learner = make_learner(LAST, options, device, Learner, precision, data.train.identity_count)
        together, waiting = run(learner)
        pixels = file_pixels([data.train.root / path for path in data.train.paths[:100]])
    return {
        "dataset": options.dataset,
        "file_pixels": pixels,
        "precision": precision,
        "workers": work.workers,
        "read": alone,
        "learnt": together,
        "waiting": waiting,
    }


def file_pixels(paths: list[Path]) -> float:
    """Mean number of pixels of image files; the cost of decoding is proportional to it."""
    counts = []
    for path in paths:
        with Image.open(path) as image:
            counts.append(image.width * image.height)
    return mean(counts)


def show(title: str, rows: list[Speed]) -> None:
    """Print a table with ratios to its first row."""
    print(f"{title:32}{'images/s':>10}{'ratio':>8}{'ms':>9}{'GiB':>7}")
    for row in rows:
        ratio = row.images_per_second / rows[0].images_per_second
        print(
            f"{row.changed or row.task:32}{row.images_per_second:10.1f}{ratio:8.2f}{row.step_ms:9.1f}"
            f"{row.memory_gib:7.1f}",
            flush=True,
        )


def resetting_share(rows: list[Speed]) -> dict[str, float]:
    """By precision, the share of a step of CDD with RGGR that resetting takes."""
    ms = {(row.task, row.precision): row.step_ms for row in rows}
    return {
        precision: 1 - ms["CDD", precision] / ms[LAST, precision]
        for task, precision in ms
        if task == LAST and ("CDD", precision) in ms
    }


def main() -> None:
    """Measure, print tables, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--last-stride", type=int, default=1, choices=[1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--dataset", default="toycars", help="data set of the catalogue, for the last table")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--no-compile", action="store_true", help="skip torch.compile, which starts slowly")
    parser.add_argument("--json", type=Path, help="write figures here, after each table")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures: dict[str, object] = {"seed": SEED}
    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {torch.__version__}")
    print(f"{options.architecture}, {options.batch} × {options.size}²")

    precisions = list(options.precisions)
    if "bf16" in precisions and not computes_in_bf16(torch.device(device)):
        print("no bf16: this device would emulate it, so zoo trains in fp32 there")
        precisions = ["fp32"]

    steps: list[Speed] = []
    for precision in precisions:
        rows = [measure(name, options, device, precision) for name in TASKS]
        show(f"step, {precision}", rows)
        steps += rows
        figures |= {"steps": [asdict(row) for row in steps], "resetting_share": resetting_share(steps)}
        write_figures(options, figures)

    best = max((row for row in steps if row.task == LAST), key=lambda row: row.images_per_second)
    ways = [best, measure(LAST, options, device, best.precision, contiguous, changed="contiguous")]
    if not options.no_compile:
        ways.append(measure(LAST, options, device, best.precision, compiled=True, changed="compiled"))
    show(f"{LAST}, {best.precision}", ways)
    figures["changed"] = [asdict(row) for row in ways[1:]]
    write_figures(options, figures)

    read = reading(options, device, best.precision)
    print(f"images of {options.dataset}, {read['workers']} reading processes, {best.precision}")
    print(f"{'read, and nothing else':32}{read['read']:10.1f}")
    print(f"{f'{LAST} beside it':32}{read['learnt']:10.1f}    waiting {read['waiting']:.1%}")
    write_figures(options, {**figures, "reading": read})


if __name__ == "__main__":
    main()
