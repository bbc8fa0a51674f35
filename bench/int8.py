"""Cost of int8: by selection of calibration images, and by kind of activations, on the available runtimes.

    python bench/int8.py resnet10t-toycars
    python bench/int8.py resnet18-hcmc --data-root /data --images 32 128 300 --json int8.json

The model must have been built. First table: k-centre against random selections of equal size, the distance of training
images to the nearest selected one, and the loss of mAP with every layer in int8. Second table: the graph with symmetric
int8 activations against the one with uint8 activations, accuracy and speed on each runtime, in one run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console

from bench.figures import write_figures
from calibration.quantize import Quantizer
from calibration.samples import candidates, coverage, k_centre
from pipeline.data.images import Input, read_batches
from pipeline.data.samples import Index
from pipeline.engine.step import StepId
from pipeline.retrieval.agreement import Agreement, agreement
from pipeline.stages.calibrate import ReferenceRuntime, embed_samples
from pipeline.stages.export import GRAPH
from pipeline.stages.reference import read_reference
from targets.measuring.trial import run_trial
from targets.settings import Activations, TargetSettings
from zoo.building.build import BuildRequest, prepare
from zoo.catalogue import load_catalogue
from zoo.cli.progress import ConsoleProgress
from zoo.errors import ZooError
from zoo.home import Home

RUNTIMES = ("openvino", "onnxruntime")
KINDS: tuple[Activations, ...] = ("symmetric", "asymmetric")


@dataclass(frozen=True)
class Built:
    """The student of a model: its graph, its embeddings in torch, its data; mAP is on the test set."""

    graph: Path
    reference: Path
    data: Index
    size: Input


def find(name: str, data_root: Path, progress: ConsoleProgress) -> Built:
    """The student of a built model."""
    build = prepare(load_catalogue(), Home.find(), BuildRequest(name), data_root, progress)
    folders = {planned.step.id: build.store.folder(planned.step.stage, planned.key) for planned in build.plan}
    built = Built(
        folders[StepId("export", "student")] / GRAPH,
        folders[StepId("reference", "student")],
        replace(build.data, gate=None),
        build.recipe.input,
    )
    if not built.graph.exists():
        sys.exit(f"Error: {name} is not built. Run: zoo build {name}")
    return built


def chosen(embeddings: np.ndarray, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Selections of `count` candidates by name: k-centre, and three random ones."""
    yield "k_centre", k_centre(embeddings, count)
    for seed in range(3):
        yield f"random {seed}", np.random.default_rng(seed).permutation(len(embeddings))[:count]


def choices(built: Built, counts: list[int], scratch: Path) -> list[dict[str, Any]]:
    """Coverage and loss of mAP of every selection, with symmetric activations on OpenVINO."""
    judge = ReferenceRuntime(TargetSettings("openvino"), built.data, built.size, scratch)
    reference = read_reference(built.reference, built.data)
    pool = built.data.train.subset(candidates(len(built.data.train), 0))
    embeddings = embed_samples(judge.session(built.graph), pool, built.size)
    rows = []
    for count in counts:
        for name, places in chosen(embeddings, count):
            images = np.concatenate(list(read_batches(pool.subset(places), built.size, 64)))
            Quantizer(built.graph, images, "symmetric", scratch).write(scratch / "int8.onnx")
            lost: Agreement = agreement(reference, judge.answer(scratch / "int8.onnx"))
            rows.append(
                {"images": len(images), "choice": name, **asdict(coverage(embeddings, places)), **lost.model_dump()}
            )
    return rows


def kinds(
    built: Built, count: int, threads: int | None, scratch: Path, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Loss of mAP and speed of both kinds of graph on each runtime; speed relative to fp32 in the same run."""
    reference = read_reference(built.reference, built.data)
    pool = built.data.train.subset(candidates(len(built.data.train), 0))
    images = np.concatenate(list(read_batches(pool.subset(np.arange(min(count, len(pool)))), built.size, 64)))
    graphs = {"fp32": built.graph}
    for kind in KINDS:
        graphs[kind] = scratch / f"{kind}.onnx"
        Quantizer(built.graph, images, kind, scratch).write(graphs[kind])
    rows = []
    for runtime in RUNTIMES:
        judges = {}
        for kind in graphs:
            (folder := scratch / f"{runtime}-{kind}").mkdir()
            judges[kind] = ReferenceRuntime(TargetSettings(runtime, threads=threads), built.data, built.size, folder)
        sessions = {kind: judge.session(graphs[kind]) for kind, judge in judges.items()}
        trial = run_trial(sessions, images[:1], (1,), 459, 60, "fp32", None, tell)
        for kind, judge in judges.items():
            lost = agreement(reference, judge.answer(graphs[kind]))
            ratio = trial.ratios[kind][0] if trial.ratios[kind] else None
            rows.append(
                {
                    "runtime": runtime,
                    "graph": kind,
                    "map_drop_points": lost.map_drop_points,
                    "mean_cosine": lost.mean_cosine,
                    "p50_ms": trial.latency[kind][0].p50_ms,
                    "times_fp32": ratio and ratio.ratio,
                    "interval": ratio and (ratio.low, ratio.high),
                }
            )
    return rows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="name of a model in the catalogue")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, nargs="+", default=[32, 128, 300])
    parser.add_argument("--threads", type=int, help="threads of one inference; default: one per core")
    parser.add_argument("--json", type=Path, help="write figures here")
    options = parser.parse_args()
    progress = ConsoleProgress(Console(stderr=True))
    try:
        built = find(options.name, options.data_root, progress)
    except ZooError as error:
        sys.exit(f"Error: {error}")
    with TemporaryDirectory() as scratch:
        picked = choices(built, options.images, Path(scratch))
        print(f"{'images':>6}  {'choice':10}  mean distance  largest distance  mAP lost  mean cosine")
        for row in picked:
            print(
                f"{row['images']:6}  {row['choice']:10}  {row['mean']:13.4f}  {row['largest']:16.4f}  "
                f"{row['map_drop_points']:8.2f}  {row['mean_cosine']:11.5f}"
            )
        for count in options.images:
            some = [row for row in picked if row["images"] == count]
            if len(some) == 4:
                ratio = some[0]["largest"] / mean(row["largest"] for row in some[1:])
                print(f"{count} images: largest distance of k-centre is {ratio:.2f}× that of random ones")
        compared = kinds(built, max(options.images), options.threads, Path(scratch), progress.say)
        print(f"\n{'runtime':12}  {'graph':10}  mAP lost  mean cosine   p50 ms  × fp32")
        for row in compared:
            faster = (
                f"{row['times_fp32']:.2f} ({row['interval'][0]:.2f} … {row['interval'][1]:.2f})"
                if row["interval"]
                else "1"
            )
            print(
                f"{row['runtime']:12}  {row['graph']:10}  {row['map_drop_points']:8.2f}  {row['mean_cosine']:11.5f}  "
                f"{row['p50_ms']:7.3f}  {faster}"
            )
    write_figures(options, {"choices": picked, "kinds": compared})


if __name__ == "__main__":
    main()
