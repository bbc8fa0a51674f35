"""Images a second of a whole training step: fine-tuning, distillation, CDD, and CDD with RGGR; and what speeds it up.

    python bench/train.py                                          ResNet-50, 256×256, batch 96
    python bench/train.py --architecture resnet10t --size 64 --batch 64

A step is what training does: forward (of the teacher too), backward, gradients reset, SGD. Images lie on the device
already; reading them is not in it. The second table changes one thing at a time of the last task.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from bench.figures import write_figures
from pipeline.data.images import Input
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.settings import Distillation, Resetting
from pipeline.networks.build import Network, build_network
from pipeline.training.loop import Task
from pipeline.training.schedule import Supervision
from pipeline.training.supervised import Classified, SupervisedTask
from targets.device import this_device

IDENTITIES = 576
TASKS = {
    "fine-tuning": None,
    "distillation": Distillation(sparsity_weight=0, learn_epochs=119),
    "CDD": Distillation(learn_epochs=0, rggr=Resetting(by="none")),
    "CDD + RGGR": Distillation(learn_epochs=0),
}


def make_task(settings: Distillation | None, network: Network, size: Input) -> Task:
    """The task of a row; distillation alone is phase *learn* without a penalty."""
    student = Classified(build_network(network, size), IDENTITIES)
    if settings is None:
        return SupervisedTask(student, Supervision())
    return CapacityDynamicDistillation(student, Classified(build_network(network, size), IDENTITIES), settings)


def images_per_second(
    settings: Distillation | None,
    options: argparse.Namespace,
    device: str,
    *,
    channels_last: bool = True,
    bf16: bool = False,
    compiled: bool = False,
) -> float:
    """Median over steps, after three that are not counted."""
    torch.manual_seed(0)
    size = Input(height=options.size, width=options.size)
    task = make_task(settings, Network(architecture=options.architecture, last_stride=options.last_stride), size)
    task.to(device)
    for part in getattr(task, "_teacher", ()):
        part.to(device)
    form = torch.channels_last if channels_last else torch.contiguous_format
    task.to(memory_format=form)
    task.train()
    optimizer = torch.optim.SGD(task.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    images = torch.randint(0, 256, (options.batch, 3, options.size, options.size), dtype=torch.uint8, device=device)
    images = images.contiguous(memory_format=form)
    labels = torch.arange(options.batch, device=device) // 2
    forward: Callable[..., dict[str, torch.Tensor]] = torch.compile(task) if compiled else task
    times = []
    for step in range(options.steps + 3):
        begun = perf_counter()
        task.start_step(1.0)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            loss = forward(images, labels)["loss"]
        loss.backward()
        task.adjust_gradients()
        optimizer.step()
        task.after_step(1e-4)
        if device == "cuda":
            torch.cuda.synchronize()
        if step >= 3:
            times.append(perf_counter() - begun)
    return options.batch / median(times)


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
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out; it starts slowly")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    tasks = {name: images_per_second(settings, options, device) for name, settings in TASKS.items()}
    last = TASKS["CDD + RGGR"]
    ways = {
        "contiguous, float32": images_per_second(last, options, device, channels_last=False),
        "channels_last, float32": images_per_second(last, options, device),
        "channels_last, bf16 autocast": images_per_second(last, options, device, bf16=True),
    }
    if not options.no_compile:
        ways["channels_last, float32, compiled"] = images_per_second(last, options, device, compiled=True)
    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {version('torch')}")
    print(f"{options.architecture}, {options.batch} × {options.size}²")
    show("step", tasks)
    show("CDD + RGGR", ways)
    figures = {
        "images_per_second": {**tasks, **ways},
    }
    write_figures(options, figures)


if __name__ == "__main__":
    main()
