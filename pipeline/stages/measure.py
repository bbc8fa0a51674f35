"""Stage `measure`: accuracy and latency of all artifacts, dense and pruned, in every precision, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.data import LIBRARIES as IMAGES
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.engine.step import StepId, Variant
from pipeline.engine.work import Work
from pipeline.errors import CheckFailed
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import Answered, agreement, answer
from pipeline.retrieval.rerank import ReRanking, reranked_accuracy
from pipeline.settings import Settings
from pipeline.stages.calibrate import answer_judged, embed_samples
from pipeline.stages.compile import ARTIFACTS
from pipeline.stages.measurement import ChosenBy, Network, Row, Run, unsteady
from pipeline.stages.reference import read_gate_reference, read_reference
from pipeline.stages.unsupported import check_left, parted
from targets.contract import describe_runtime, make_target, thread_count
from targets.machine.device import this_device
from targets.measuring.conditions import Conditions
from targets.measuring.latency import Latency
from targets.measuring.quiet import assess
from targets.measuring.ratio import Ratio
from targets.measuring.trial import run_trial
from targets.settings import PRECISIONS, Precision, TargetSettings

VERSION = 8
LIBRARIES = (*IMAGES, "torch")
BASELINE = Variant("teacher", "fp32")


class Measure(Settings):
    """Batch sizes, duration, and whether accuracy is also measured with re-ranking."""

    batches: tuple[PositiveInt, ...] = Field((1, 8), min_length=1)
    calls: int = Field(459, ge=1, description="timed calls of each artifact at each batch size")
    max_seconds: float = Field(30, gt=0, description="limit for the timed calls of one artifact at one batch size, s")
    dense: tuple[Precision, ...] = Field(("fp32",), description="precisions of the dense teacher, the baseline")
    rerank: ReRanking | None = Field(None, description="also measure accuracy with re-ranking, as a separate figure")


@dataclass(frozen=True)
class Candidate:
    """A precision of the student: its loss of accuracy on the split that decides gates, its time if that is reliable,
    and its size.
    """

    precision: Precision
    map_drop_points: float
    p50_ms: float
    size_bytes: int = 0
    counts: bool = True


def choose(
    candidates: Sequence[Candidate], precisions: Sequence[Precision], max_map_drop_points: float
) -> tuple[Precision, ChosenBy]:
    """The precision that ships, and why: of those that may ship and pass the gate, the fastest; or the smallest, if a
    time is unreliable.

    Raises:
        CheckFailed: none passes; the message says what was reached.
    """
    wanted = [one for one in candidates if one.precision in precisions]
    passing = [one for one in wanted if one.map_drop_points <= max_map_drop_points]
    if len(passing) == 1:
        return passing[0].precision, "only"
    if passing and all(one.counts for one in passing):
        return min(passing, key=lambda one: one.p50_ms).precision, "speed"
    if passing:
        small = min(passing, key=lambda one: (one.size_bytes, -PRECISIONS.index(one.precision)))
        return small.precision, "size"
    reached = ", ".join(f"{one.precision} {one.map_drop_points:.2f}" for one in wanted)
    raise CheckFailed(
        f"mAP drops by more than calibrate.max_map_drop_points ({max_map_drop_points:g}): {reached} points, with the "
        "most sensitive layers in float already. Raise it, allow more calibrate.images or max_float_layers, or build "
        "with precision: auto, which keeps the fastest that passes."
    )


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Embedded:
    """One artifact's unit embeddings of the test set, Q×D and G×D, and of the split that decides gates, if that is
    another one and the artifact may ship.
    """

    network: Network
    precision: Precision
    query: np.ndarray
    gallery: np.ndarray
    judged: Answered | None


def score(found: Answered, data: Index, rerank: ReRanking | None) -> tuple[Accuracy, Accuracy | None]:
    """Accuracy of an artifact's embeddings of the test set, also with re-ranking if requested."""
    if rerank is None:
        return found.accuracy, None
    return found.accuracy, reranked_accuracy(found.query, found.gallery, data.query, data.gallery, rerank)


def make_row(
    one: Embedded,
    data: Index,
    reference: Path,
    rerank: ReRanking | None,
    latency: Sequence[Latency],
    ratios: Sequence[Ratio],
    size_bytes: int,
) -> Row:
    """Accuracy and times of one artifact, and its agreement with the network in torch.

    Args:
        reference: folder of the stage `reference` of the same network.
    """
    found = answer(one.query, one.gallery, data.query, data.gallery)
    accuracy, reranked = score(found, data, rerank)
    return Row.model_validate(
        {
            "network": one.network,
            "precision": one.precision,
            "accuracy": accuracy,
            "reranked": reranked,
            "agreement": agreement(read_reference(reference, data), found),
            "gate": one.judged and agreement(read_gate_reference(reference, data), one.judged),
            "latency": latency,
            "ratios": ratios,
            "size_bytes": size_bytes,
        }
    )


def choose_row(
    rows: Sequence[Row], precisions: Sequence[Precision], max_map_drop_points: float, conditions: Conditions
) -> tuple[Precision, ChosenBy]:
    """See `choose`, from the rows of a run. Without figures on a gate's split, the gate is on the test set."""
    counts = not conditions.throttled and not conditions.disturbed
    candidates = [
        Candidate(row.precision, on.map_drop_points, row.latency[0].p50_ms, row.size_bytes, counts and row.steady)
        for row in rows
        if row.network == "student" and (on := row.gate or row.agreement)
    ]
    return choose(candidates, precisions, max_map_drop_points)


def explain_times(run: Run) -> str | None:
    """Message on a run whose times are unreliable; None if they are reliable."""
    found = assess(run.conditions, unsteady(run.rows))
    if found.why is None:
        return None
    if run.conditions.throttled:
        return f"figures of {run.runtime.name} are void: {found.why}"
    return (
        f"times on {run.runtime.name} are unreliable ({found.why}): there are no ratios, and no fastest one. On an "
        "idle machine: zoo bench NAME"
    )


def measure_target(
    work: Work,
    *,
    data: Index,
    input: Input,
    target: TargetSettings,
    settings: Measure,
    precisions: tuple[Precision, ...],
    max_map_drop_points: float,
    compiled: Mapping[Variant, Path],
    references: Mapping[StepId, Path],
) -> None:
    """Write `measurement.json`: accuracy and latency of all artifacts, with device, versions and protocol; and the
    broken variants.

    Args:
        precisions: those that may ship.
        compiled: folders of the stage `compile`.
        references: folders of the stage `reference`.

    Raises:
        CheckFailed: see `choose` and `check_left`.
    """
    from pipeline.data.images import read_batches

    runner = make_target(target)
    sound, broken = parted(compiled)
    check_left(broken, precisions)
    sessions = {variant: runner.load(folder / ARTIFACTS, work.cache) for variant, folder in sound.items()}
    work.progress.say(f"measuring {target.runtime} at batches {', '.join(map(str, settings.batches))}")
    images = next(read_batches(data.query, input, max(settings.batches)))
    trial = run_trial(
        {str(variant): session for variant, session in sessions.items()},
        images,
        settings.batches,
        settings.calls,
        settings.max_seconds,
        str(BASELINE) if BASELINE in sessions else None,
        runner.gpu_bus_id,
        work.progress.say,
    )
    rows = []
    for variant, session in sessions.items():
        query, gallery = (embed_samples(session, samples, input) for samples in (data.query, data.gallery))
        judged = answer_judged(session, data, input) if data.gate and variant.network == "student" else None
        embedded = Embedded(*variant, query, gallery, judged)
        reference = references[StepId("reference", variant.network)]
        size = sum(path.stat().st_size for path in files_below(sound[variant] / ARTIFACTS))
        times = trial.latency[str(variant)], trial.ratios[str(variant)]
        rows.append(make_row(embedded, data, reference, settings.rerank, *times, size))
    chosen, by = choose_row(rows, precisions, max_map_drop_points, trial.conditions)
    run = Run(
        device=this_device(),
        runtime=describe_runtime(runner, target),
        threads=thread_count(target),
        conditions=trial.conditions,
        chosen=chosen,
        chosen_by=by,
        rows=rows,
        broken=tuple(broken),
    )
    if told := explain_times(run):
        work.progress.say(told)
    run.write(work.out)
