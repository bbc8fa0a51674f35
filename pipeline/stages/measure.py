"""Stage `measure`: accuracy and latency of what ships, dense and pruned, in every precision, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.errors import CheckFailed
from pipeline.retrieval.agreement import Agreement, agreement, answer
from pipeline.retrieval.rerank import ReRanking, reranked_accuracy
from pipeline.settings import Settings
from pipeline.stages.calibrate import embed_samples
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.reference import read_reference
from pipeline.work import Work
from targets.contract import Session, make_target, runtime_version, thread_count
from targets.device import this_device
from targets.latency import Latency, measure_latency
from targets.settings import Precision, TargetSettings

VERSION = 2
LIBRARIES = (*IMAGES, "torch")


class Measure(Settings):
    """At which batches and how long, and whether accuracy is given after re-ranking, too."""

    batches: tuple[PositiveInt, ...] = Field((1, 8), min_length=1)
    calls: int = Field(459, ge=1, description="timed calls of each artifact at each batch")
    max_seconds: float = Field(30, gt=0, description="limit for the timed calls of one artifact at one batch")
    dense: tuple[Precision, ...] = Field(("fp32",), description="precisions of the dense teacher, the baseline")
    rerank: ReRanking | None = Field(None, description="give accuracy after re-ranking as well, as a figure of its own")


@dataclass(frozen=True)
class Candidate:
    """A precision of the student: what it costs and how fast it is."""

    precision: Precision
    map_drop_points: float
    p50_ms: float


def choose(candidates: Sequence[Candidate], precision: str, max_map_drop_points: float) -> Precision:
    """The precision that ships: the one asked for, or with `auto` the fastest that passes the gate.

    Raises:
        CheckFailed: none passes; says what was reached.
    """
    wanted = [one for one in candidates if precision in ("auto", one.precision)]
    passing = [one for one in wanted if one.map_drop_points <= max_map_drop_points]
    if passing:
        return min(passing, key=lambda one: one.p50_ms).precision
    reached = ", ".join(f"{one.precision} {one.map_drop_points:.2f}" for one in wanted)
    raise CheckFailed(
        f"mAP drops by more than calibrate.max_map_drop_points ({max_map_drop_points:g}): {reached} points, with the "
        "most sensitive layers in float already. Raise it, allow more calibrate.images or max_float_layers, or build "
        "with precision: auto, which keeps the fastest that passes."
    )


def artifact_files(folder: Path) -> list[Path]:
    """Files of a stage `compile`."""
    return sorted(path for path in (folder / ARTIFACTS).rglob("*") if path.is_file())


def latencies(sessions: Mapping[str, Session], images: np.ndarray, settings: Measure) -> dict[str, list[Latency]]:
    """Figures of every session at every batch size."""
    by_batch = []
    for batch in settings.batches:
        repeated = np.ascontiguousarray(np.resize(images, (batch, *images.shape[1:])))
        by_batch.append(measure_latency(sessions, repeated, settings.calls, settings.max_seconds))
    return {name: [figures[name] for figures in by_batch] for name in sessions}


def measure_target(
    work: Work,
    *,
    data: Index,
    input: Input,
    target: TargetSettings,
    settings: Measure,
    precision: str,
    max_map_drop_points: float,
    **folders: Path,
) -> None:
    """Write `measurement.json`: accuracy and latency of all artifacts, with device, versions and protocol.

    Args:
        folders: of the stage `compile` by `subject/precision`, and of the stage `reference` by `reference/subject`.

    Raises:
        CheckFailed: see `choose`.
    """
    from pipeline.data.images import read_batches

    runner = make_target(target)
    compiled = {name: folder for name, folder in folders.items() if not name.startswith("reference/")}
    sessions = {name: runner.load(folder / ARTIFACTS, work.cache) for name, folder in compiled.items()}
    work.progress.say(f"measuring {target.runtime} at batches {', '.join(map(str, settings.batches))}")
    images = next(read_batches(data.query, input, max(settings.batches)))
    figures = latencies(sessions, images, settings)
    rows, candidates = [], []
    for name, session in sessions.items():
        subject, numbers = name.split("/")
        query, gallery = (embed_samples(session, samples, input) for samples in (data.query, data.gallery))
        found = answer(query, gallery, data.query, data.gallery)
        agrees: Agreement = agreement(read_reference(folders[f"reference/{subject}"], data), found)
        reranked = settings.rerank and reranked_accuracy(query, gallery, data.query, data.gallery, settings.rerank)
        rows.append(
            {
                "network": subject,
                "precision": numbers,
                "accuracy": found.accuracy.model_dump(),
                "reranked": reranked.model_dump() if reranked else None,
                "agreement": agrees.model_dump(),
                "latency": [asdict(row) for row in figures[name]],
                "size_bytes": sum(path.stat().st_size for path in artifact_files(compiled[name])),
            }
        )
        if subject == "student":
            candidates.append(Candidate(numbers, agrees.map_drop_points, figures[name][0].p50_ms))  # type: ignore[arg-type]
    work.write_json(
        "measurement.json",
        {
            "kind": "measured",
            "device": asdict(this_device()),
            "runtime": {"name": target.runtime, "version": runtime_version(runner), "device": target.device},
            "threads": thread_count(target),
            "chosen": choose(candidates, precision, max_map_drop_points),
            "rows": rows,
        },
    )
