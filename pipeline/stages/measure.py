"""Stage `measure`: accuracy and latency of what ships, dense teacher and pruned student in one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index, Samples
from pipeline.retrieval.accuracy import retrieval_accuracy
from pipeline.retrieval.rerank import ReRanking, reranked_accuracy
from pipeline.settings import Settings
from pipeline.stages.compile import ARTIFACTS
from pipeline.work import Work
from targets.contract import Session, make_target, runtime_version, thread_count
from targets.device import this_device
from targets.latency import Latency, measure_latency
from targets.settings import TargetSettings

VERSION = 1
LIBRARIES = (*IMAGES, "torch")
EMBED_BATCH = 8


class Measure(Settings):
    """At which batches and how long, and whether accuracy is given after re-ranking, too."""

    batches: tuple[PositiveInt, ...] = Field((1, 8), min_length=1)
    calls: int = Field(459, ge=1, description="timed calls of each artifact at each batch")
    max_seconds: float = Field(30, gt=0, description="limit for the timed calls of one artifact at one batch")
    rerank: ReRanking | None = Field(None, description="give accuracy after re-ranking as well, as a figure of its own")


def embed_samples(session: Session, samples: Samples, size: Input) -> np.ndarray:
    """Embeddings N×D of a split by a compiled artifact."""
    from pipeline.data.images import read_batches

    return np.concatenate([session.embed(batch) for batch in read_batches(samples, size, EMBED_BATCH)])


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
    teacher: Path,
    student: Path,
) -> None:
    """Write `measurement.json`: accuracy and latency of both artifacts, with device, versions and protocol.

    Args:
        teacher, student: folders of the stage `compile` for this target.
    """
    from pipeline.data.images import read_batches

    runner = make_target(target)
    sessions = {"teacher": runner.load(teacher / ARTIFACTS), "student": runner.load(student / ARTIFACTS)}
    work.progress.say(f"measuring {target.runtime} at batches {', '.join(map(str, settings.batches))}")
    images = next(read_batches(data.query, input, max(settings.batches)))
    figures = latencies(sessions, images, settings)
    accuracy, reranked = {}, {}
    for name, session in sessions.items():
        query, gallery = (embed_samples(session, samples, input) for samples in (data.query, data.gallery))
        accuracy[name] = retrieval_accuracy(query, gallery, data.query, data.gallery)
        if settings.rerank:
            reranked[name] = reranked_accuracy(query, gallery, data.query, data.gallery, settings.rerank)
    work.write_json(
        "measurement.json",
        {
            "kind": "measured",
            "device": asdict(this_device()),
            "runtime": {"name": target.runtime, "version": runtime_version(runner), "device": target.device},
            "threads": thread_count(target),
            "subjects": {
                name: {
                    "accuracy": accuracy[name].model_dump(),
                    "reranked": reranked[name].model_dump() if name in reranked else None,
                    "latency": [asdict(row) for row in figures[name]],
                }
                for name in sessions
            },
        },
    )
