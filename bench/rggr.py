"""What one step of retrieval-guided gradient resetting costs: against a literal one, and as a share of a training step.

    python bench/rggr.py                        ResNet-50's sites, batch 96, 24 000 gallery rows
    python bench/rggr.py --batch 32 --size 128

The training step (CDD: teacher forward, student forward and backward, SGD) is measured in the same run, so that the
share means something on a noisy machine. `--step-batch` makes it smaller where 96 images do not fit a patience or a
memory; its time is then scaled to the batch, which a step's time follows closely, and the table says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from bench.figures import write_figures
from pipeline.data.images import Input
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Distillation, Resetting
from pipeline.networks.build import Network, build_network
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified
from targets.device import this_device
from tests.literal import literal_masks


def seconds(work: Callable[[], object], repeats: int, device: str) -> float:
    """Median time of a call, after two that are not counted."""
    times = []
    for turn in range(repeats + 2):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            times.append(time.perf_counter() - begun)
    return median(times)


Features = dict[str, torch.Tensor]


def random_features(channels: dict[str, int], count: int, device: str, seed: int) -> Features:
    """Features of all sites."""
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=random).to(device) for name, width in channels.items()}


def resetting_steps(
    channels: dict[str, int], batch: int, rows: int, device: str
) -> tuple[Callable[[], None], Callable[[], Features]]:
    """An update of all sites with a full bank, and the same work written down literally."""
    gallery = random_features(channels, rows, device, 0)
    resetting = GradientResetting(channels, Resetting(bank=rows)).to(device)
    for start in range(0, rows, 1000):
        some = {name: features[start : start + 1000] for name, features in gallery.items()}
        resetting.update(some, some)
    teacher, student = random_features(channels, batch, device, 1), random_features(channels, batch, device, 2)
    return lambda: resetting.update(teacher, student), lambda: literal_masks(teacher, student, gallery)


def training_step(architecture: str, size: int, batch: int, device: str) -> Callable[[], None]:
    """A step of phase *compress* with a bank of one row, so that resetting itself costs nothing in it."""
    shape = Input(height=size, width=size)
    network = Network(architecture=architecture)
    teacher, student = (Classified(build_network(network, shape), 576) for _ in range(2))
    settings = Distillation(rggr=Resetting(bank=1, neighbours=1))
    task = CapacityDynamicDistillation(student, teacher.to(device), settings).to(device)
    task.to(memory_format=torch.channels_last)
    task.train()
    task.start_step(settings.epochs - 1)
    optimizer = torch.optim.SGD(task.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8).to(device)
    labels = torch.arange(batch, device=device) // 2

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        task(images, labels)["loss"].backward()
        task.adjust_gradients()
        optimizer.step()

    return step


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--sites", choices=["spatial", "all"], default="spatial")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rows", type=int, default=24_000)
    parser.add_argument("--size", type=int, default=256, help="pixels of the training step's images")
    parser.add_argument(
        "--step-batch", type=int, help="images of the measured training step; the whole batch if left out"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)

    network = build_network(Network(architecture=options.architecture), Input())
    channels = {site.writer: site.channels for site in find_sites(network, options.sites)}
    fast, literal = resetting_steps(channels, options.batch, options.rows, device)
    resetting, reference = seconds(fast, options.repeats, device), seconds(literal, 1, device)
    batch = options.step_batch or options.batch
    step = seconds(training_step(options.architecture, options.size, batch, device), options.repeats, device)
    whole = step * options.batch / batch

    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {version('torch')}")
    print(f"{options.architecture}: {len(channels)} sites, {sum(channels.values())} channels ({options.sites})")
    print(f"{'':44}{'ms':>10}{'share':>9}{'ratio':>8}")
    scaled = f", scaled from {batch}" if batch != options.batch else ""
    step_name = f"training step, {options.batch} × {options.size}²{scaled}"
    print(f"{step_name:44}{1000 * whole:10.1f}{1:9.1%}")
    print(f"{f'RGGR step, {options.rows} gallery rows':44}{1000 * resetting:10.1f}{resetting / whole:9.1%}{1:8.1f}")
    slower = reference / resetting
    print(f"{'the same, sample by sample':44}{1000 * reference:10.1f}{reference / whole:9.1%}{slower:8.1f}")
    figures = {
        "rggr_ms": 1000 * resetting,
        "literal_ms": 1000 * reference,
        "step_ms": 1000 * whole,
        "share": resetting / whole,
    }
    write_figures(options, figures)


if __name__ == "__main__":
    main()
