"""One training process that runs as if it were one of several: DistributedDataParallel with NCCL, on one GPU.

    python -m bench.nccl                           ResNet-50, 256×256, batch 96
    python -m bench.nccl --architecture resnet10t --size 32 --batch 8

A single process sums, gathers and averages nothing. Here it does all that, in a process group of one, and must train
like a process without a group: losses of the same steps are compared, and the overhead is timed. The group uses NCCL on
a GPU and gloo on a CPU. Exits with 1 if losses differ by more than `--tolerance`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest.mock import patch

import torch
from torch import distributed

from bench.figures import SEED, write_figures
from bench.train import LAST, WARM_UP, make_learner, synchronise
from pipeline.training.learner import Learner


@contextmanager
def group_of_one(device: str) -> Iterator[str]:
    """A process group of this process only, with code that treats it as several; yields the group's backend."""
    backend = "nccl" if device == "cuda" else "gloo"
    with TemporaryDirectory() as folder:
        distributed.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=0, world_size=1)
        try:
            with (
                patch("pipeline.training.together.alone", lambda: False),
                patch("pipeline.method.rggr.alone", lambda: False),
            ):
                yield backend
        finally:
            distributed.destroy_process_group()


def steps(learner: Learner, options: argparse.Namespace, device: str) -> tuple[list[float], float]:
    """Losses of some steps on changing batches, and seconds per step."""
    random = torch.Generator().manual_seed(SEED)
    shape = (options.batch, 3, options.size, options.size)
    labels = torch.arange(options.batch, device=device) // 2
    losses, times = [], []
    for step in range(options.steps + WARM_UP):
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random).to(device)
        synchronise(device)
        begun = perf_counter()
        loss = learner(images, labels, 1.0)["loss"]
        synchronise(device)
        losses.append(float(loss))
        if step >= WARM_UP:
            times.append(perf_counter() - begun)
    return losses, median(times)


def main() -> None:
    """Measure, print, write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--last-stride", type=int, default=1, choices=[1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tolerance", type=float, default=1e-2, help="relative tolerance of a loss")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    alone, alone_seconds = steps(make_learner(LAST, options, device, Learner, "fp32"), options, device)
    with group_of_one(device) as backend:
        learner = make_learner(LAST, options, device, Learner, "fp32")
        learner.share()
        together, together_seconds = steps(learner, options, device)
    difference = max(abs(one - other) / abs(one) for one, other in zip(alone, together, strict=True))
    print(f"{backend}, one process: a step {1000 * together_seconds:.1f} ms, alone {1000 * alone_seconds:.1f} ms")
    print(f"losses of {len(alone)} steps differ by up to {difference:.1e}, relative")
    figures = {
        "seed": SEED,
        "backend": backend,
        "alone_ms": 1000 * alone_seconds,
        "together_ms": 1000 * together_seconds,
        "losses_alone": alone,
        "losses_together": together,
        "largest_difference": difference,
    }
    write_figures(options, figures)
    if not difference <= options.tolerance:
        sys.exit(f"Error: losses differ by {difference:.1e}, more than --tolerance {options.tolerance:g}.")


if __name__ == "__main__":
    main()
