"""Cost of a step of retrieval-guided gradient resetting: against a literal version, and as a share of a training step.

    python -m bench.rggr                        ResNet-50's sites, batch 96, 24 000 gallery rows
    python -m bench.rggr --batch 32 --size 128

The literal step (`tests/literal.py`) iterates over samples and neighbours, on the same features: in float32, and in
double precision, as the authors' code does. The table shows how many channels all three judge alike. The training step
(CDD: teacher forward, student forward and backward, SGD) is measured in the same run, so that the share is meaningful
on a noisy machine. `--step-batch` reduces its batch if 96 images take too long or too much memory; its time is then
scaled to the full batch, which is nearly exact, and the table says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from bench.figures import SEED, write_figures
from pipeline.data.images import Input
from pipeline.method.cdd import CapacityDynamicDistillation
from pipeline.method.rggr import GradientResetting
from pipeline.method.settings import Distillation, Resetting
from pipeline.networks.build import Network, build_network
from pipeline.networks.sites import find_sites
from pipeline.training.supervised import Classified
from targets.machine.device import this_device
from tests.literal import literal_masks


def seconds(work: Callable[[], object], repeats: int, device: str, warm_up: int = 2) -> float:
    """Median time of a call, after warm-up calls."""
    times = []
    for turn in range(repeats + warm_up):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if turn >= warm_up:
            times.append(time.perf_counter() - begun)
    return median(times)


Features = dict[str, torch.Tensor]


def random_features(channels: dict[str, int], count: int, device: str, seed: int) -> Features:
    """Features of all sites, with channels from weak to strong: some are needed by no match, most by some."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(count, width, generator=random) * torch.linspace(0.01, 2, width).square()).to(device)
        for name, width in channels.items()
    }


@dataclass(frozen=True)
class Resettings:
    """Steps on the same features: ours, and literal ones by precision. Each returns masks by site."""

    ours: Callable[[], Features]
    literal: dict[str, Callable[[], Features]]


def resetting_steps(channels: dict[str, int], batch: int, rows: int, device: str) -> Resettings:
    """An update of all sites with a full bank, and the same update in a literal version."""
    gallery = random_features(channels, rows, device, SEED)
    settings = Resetting(bank=rows)
    resetting = GradientResetting(channels, settings).to(device)
    for start in range(0, rows, 1000):
        some = {name: features[start : start + 1000] for name, features in gallery.items()}
        resetting.update(some, some)
    for name in channels:  # filling the bank masks rows, and masks only grow
        resetting.mask(name).fill_(1)
    teacher, student = random_features(channels, batch, device, 1), random_features(channels, batch, device, 2)
    for name, features in teacher.items():  # an update adds the batch to the bank before it searches neighbours
        gallery[name][torch.arange(rows, rows + batch) % rows] = features

    def ours() -> Features:
        resetting.written = rows  # always the same position in the bank
        resetting.update(teacher, student)
        return {name: resetting.mask(name) for name in channels}

    def literal(precision: torch.dtype) -> Callable[[], Features]:
        t, s, g = (
            {name: features.to(precision) for name, features in some.items()} for some in (teacher, student, gallery)
        )
        return lambda: literal_masks(t, s, g, settings.neighbours, settings.share, settings.distance)

    return Resettings(ours, {"fp32": literal(torch.float32), "fp64": literal(torch.float64)})


def agreement(one: Features, other: Features) -> float:
    """Share of channels that two steps judge alike."""
    same = torch.cat([(one[name].cpu() == other[name].cpu()).float() for name in one])
    return float(same.mean())


def training_step(architecture: str, size: int, batch: int, device: str) -> Callable[[], None]:
    """A step of phase *compress* with a bank of one row, so that it includes no cost of resetting."""
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
    """Measure, print a table, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--sites", choices=["spatial", "all"], default="spatial")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rows", type=int, default=24_000)
    parser.add_argument("--size", type=int, default=256, help="image size of the training step, pixels")
    parser.add_argument("--step-batch", type=int, help="batch of the measured training step; default: the full batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)

    network = build_network(Network(architecture=options.architecture), Input())
    channels = {site.writer: site.channels for site in find_sites(network, options.sites)}
    steps = resetting_steps(channels, options.batch, options.rows, device)
    resetting = seconds(steps.ours, options.repeats, device)
    masks, literal, alike = steps.ours(), {}, {}
    for precision, step in steps.literal.items():
        literal[precision] = seconds(step, 1, device, warm_up=0)
        alike[precision] = agreement(masks, step())
    batch = options.step_batch or options.batch
    own = seconds(training_step(options.architecture, options.size, batch, device), options.repeats, device)
    whole = own * options.batch / batch

    print(f"{this_device().name}, {torch.get_num_threads()} threads, {device}, torch {torch.__version__}")
    print(f"{options.architecture}: {len(channels)} sites, {sum(channels.values())} channels ({options.sites})")
    print(f"{'':44}{'ms':>10}{'share':>9}{'ratio':>8}")
    scaled = f", scaled from {batch}" if batch != options.batch else ""
    step_name = f"training step, {options.batch} × {options.size}²{scaled}"
    print(f"{step_name:44}{1000 * whole:10.1f}{1:9.1%}")
    print(f"{f'RGGR step, {options.rows} gallery rows':44}{1000 * resetting:10.1f}{resetting / whole:9.1%}{1:8.1f}")
    for precision, reference in literal.items():
        title = f"the same, sample by sample, {precision}"
        print(f"{title:44}{1000 * reference:10.1f}{reference / whole:9.1%}{reference / resetting:8.1f}", end="")
        print(f"   {alike[precision]:.4%} of the channels judged alike")
    masked = 1 - float(torch.cat([*masks.values()]).mean())
    print(f"{masked:.1%} of the channels are needed by no match")
    figures = {
        "seed": SEED,
        "masked": masked,
        "rggr_ms": 1000 * resetting,
        "literal_ms": {precision: 1000 * reference for precision, reference in literal.items()},
        "judged_alike": alike,
        "step_ms": 1000 * whole,
        "share": resetting / whole,
        "literal_share": {precision: reference / whole for precision, reference in literal.items()},
    }
    write_figures(options, figures)


if __name__ == "__main__":
    main()
