"""Measures a release on this machine: artifacts timed in one run, and their accuracy if the test set is here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from pipeline.data.dataset import open_dataset
from pipeline.data.images import Input
from pipeline.data.samples import Index
from pipeline.errors import PipelineError
from pipeline.progress import Progress
from pipeline.retrieval.accuracy import Accuracy
from pipeline.retrieval.agreement import answer
from pipeline.stages.calibrate import embed_samples
from pipeline.stages.compile import job_batches
from pipeline.stages.measure import Measure, files_below, score
from pipeline.stages.measurement import Row, Run
from targets.contract import Job, Session, describe_runtime, make_target, thread_count
from targets.installing import install_command
from targets.machine.device import this_device
from targets.measuring.trial import Trial, run_trial
from targets.settings import Precision
from zoo.catalogue import Catalogue
from zoo.errors import ManifestError
from zoo.home import Home
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, measured_rows
from zoo.release.reading import first_problem
from zoo.use.golden import Golden, read_golden
from zoo.use.runnable import Runnable
from zoo.use.sessions import compiled, load_from


@dataclass(frozen=True)
class Protocol:
    """How a release is measured, from its recipe; `data` is its test set, if that is here."""

    input: Input
    measure: Measure
    data: Index | None


def read_protocol(manifest: Manifest, data: Index | None = None) -> Protocol:
    """The protocol of a manifest.

    Raises:
        ManifestError: its recipe is not one this version can read.
    """
    try:
        known = {key: value for key, value in manifest.recipe["measure"].items() if key in Measure.model_fields}
        return Protocol(Input.model_validate(manifest.recipe["input"]), Measure.model_validate(known), data)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ManifestError(
            f"the recipe of {manifest.label} has no valid measuring protocol: {first_problem(error)}. Build it "
            f"again: {manifest.rebuild}"
        ) from None


def find_data(
    manifest: Manifest, catalogue: Catalogue, home: Home, data_root: Path, progress: Progress
) -> Index | None:
    """The data set that a release was tested on; None, with a message, if it is not here."""
    name, dataset = manifest.data.name, catalogue.datasets.get(manifest.data.name)
    why = f"it is not in the catalogue: add {name} to `datasets:`" if dataset is None else ""
    if not why and find_spec("torch") is None:
        why = f"it needs torch. Run: {install_command('build')}"
    if not why and dataset:
        try:
            data = open_dataset(name, dataset, data_root, home.data, progress.say)
            if data.fingerprint == manifest.data.fingerprint:
                return data
            why = f"{name} here has other content ({data.fingerprint[:12]}, not {manifest.data.fingerprint[:12]})"
        except (PipelineError, OSError) as error:
            why = str(error)
    progress.say(f"accuracy is not measured: {why}")
    return None


def _score(session: Session, protocol: Protocol) -> tuple[Accuracy | None, Accuracy | None]:
    if protocol.data is None:
        return None, None
    data = protocol.data
    query, gallery = (embed_samples(session, samples, protocol.input) for samples in (data.query, data.gallery))
    return score(answer(query, gallery, data.query, data.gallery), data, protocol.measure.rerank)


def _row(session: Session, precision: Precision, protocol: Protocol, golden: Golden, trial: Trial, size: int) -> Row:
    accuracy, reranked = _score(session, protocol)
    return Row(
        network="student",
        precision=precision,
        accuracy=accuracy,
        reranked=reranked,
        agreement=None,  # torch's embeddings are not part of a release
        golden_cosine=golden.cosine(session),
        latency=list(trial.latency[precision]),
        ratios=[],
        size_bytes=size,
    )


def _ships(release: Release, target: str) -> Precision | None:
    """The precision that the build chose for a target; None if the device decides, or nothing was built for it."""
    kept = {one.precision for one in release.manifest.artifacts if one.target == target}
    return kept.pop() if len(kept) == 1 else None


def measure_release(
    release: Release, target: str, found: Sequence[Runnable], protocol: Protocol, progress: Progress
) -> list[Measured]:
    """Time artifacts of one target in turn, and measure their accuracy if the test set is here. The dense network is
    not part of a release, so there are no ratios to it.

    Args:
        found: in different precisions; see `zoo.measure.measurable`.

    Raises:
        ManifestError: a file is damaged, or the release has no golden input.
        TargetError: one can't be used here, or produces a different embedding.
    """
    golden = read_golden(release.path.parent)
    if golden is None:
        raise ManifestError(
            f"{release.manifest.label} has no golden input here. Get it: zoo pull {release.manifest.label}"
        )
    measure, label = protocol.measure, release.manifest.label
    job = Job(protocol.input.height, protocol.input.width, job_batches(measure.batches))
    sessions: dict[Precision, Session] = {}
    sizes: dict[str, int] = {}
    with ExitStack() as folders:
        for one in found:
            folder = folders.enter_context(compiled(release, one, job))
            sessions[one.precision] = load_from(folder, release, one)
            files = files_below(folder) if one.is_graph else [release.path.parent / file.path for file in one.files]
            sizes[one.precision] = sum(file.stat().st_size for file in files)
        settings = found[0].settings
        assert settings is not None  # it is compiled
        runner = make_target(settings)
        progress.say(f"measuring {label} as {target} at batches {', '.join(map(str, measure.batches))}")
        trial = run_trial(
            {str(precision): session for precision, session in sessions.items()},
            golden.picture[None],
            measure.batches,
            measure.calls,
            measure.max_seconds,
            None,
            runner.gpu_bus_id,
            progress.say,
        )
        rows = [
            _row(session, precision, protocol, golden, trial, sizes[precision])
            for precision, session in sessions.items()
        ]
    run = Run(
        device=this_device(),
        runtime=describe_runtime(runner, settings),
        threads=thread_count(settings),
        conditions=trial.conditions,
        chosen=_ships(release, target),
        rows=rows,
    )
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return measured_rows(target, label, protocol.data.fingerprint if protocol.data else None, at, run)
