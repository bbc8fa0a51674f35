"""Checks measurements that somebody sent, and adds them to a release here.

A record is refused if it can't be of this release, by this protocol, or true: another content, an artifact or a batch
that it does not have, a false embedding of the golden picture, figures that contradict each other. What is true but
worth less stays in the record: times of a disturbed or throttled run count no more than the publisher's own would.
Nothing proves that a figure was measured. So a record says that it was reported, and by whom, until the publisher has
repeated it (`zoo.tables.standing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from targets.measuring.latency import P90_CALLS, P99_CALLS, TIMER, Latency
from targets.settings import PRECISIONS
from zoo.errors import SubmissionError
from zoo.home import Home
from zoo.measure.measuring import read_protocol
from zoo.release.local import Release
from zoo.release.measurements import Measured, Reported, file_name, write_measurements
from zoo.release.submission import Sent
from zoo.tables.rows import gate_points
from zoo.tables.standing import EXACT_POINTS
from zoo.use.golden import Golden, read_golden

FASTEST = 1e16  # multiplications and additions per second; ten times the largest accelerator's
CLOCK = timedelta(days=1)  # by which a machine's clock may be wrong
ROUNDING = 1.02


@dataclass(frozen=True)
class Received:
    """What became of a file.

    Attributes:
        new: records that were not here, as they are kept.
        known: how many were here already.
        notes: what to know about them, in words.
    """

    new: list[Measured]
    known: int
    notes: list[str]


def _times(latency: Latency, macs: int) -> Iterator[str]:
    """What contradicts itself in the times at one batch size."""
    tails = [one for one in (latency.p50_ms, latency.p90_ms, latency.p99_ms) if one is not None]
    mean = 1000 * latency.batch / latency.images_per_second
    if tails != sorted(tails):
        yield "its percentiles do not rise"
    if not latency.p50_ms / 3 <= mean <= 100 * latency.p50_ms:
        yield f"its mean of {mean:.3g} ms does not go with its p50 of {latency.p50_ms:g} ms"
    if (latency.p90_ms is not None and latency.calls < P90_CALLS) or (
        latency.p99_ms is not None and latency.calls < P99_CALLS
    ):
        yield f"{latency.calls} calls do not support its percentiles"
    if latency.compute_p50_ms is not None and latency.compute_p50_ms > ROUNDING * latency.p50_ms:
        yield "its computing takes longer than the whole call"
    if 1000 * macs * latency.batch / latency.p50_ms > FASTEST:
        yield f"{latency.p50_ms:g} ms for {macs * latency.batch / 1e6:.0f} M MACs is faster than any machine"
    if latency.timer != TIMER:
        yield f"it was timed in another way: {latency.timer}"


def _accuracy(record: Measured, release: Release) -> Iterator[str]:
    """What is wrong with its accuracy."""
    here, manifest = record.accuracy, release.manifest
    if here is None:
        if record.data is not None or record.reranked is not None:
            yield "it names a data set and has no accuracy"
        return
    expected = manifest.accuracy.student
    if record.data != manifest.data.fingerprint:
        yield "its accuracy is on another data set"
    told = [(one.protocol, one.queries, one.gallery) for one in (here, expected)]
    if told[0] != told[1]:
        yield "its accuracy follows another protocol"
    room = EXACT_POINTS if record.precision == "fp32" else gate_points(manifest)
    low = expected.map - room if record.precision == "fp32" else 0.0
    if not low <= here.map <= expected.map + room:
        yield f"its mAP of {here.map:.2f} can't be, since the network's is {expected.map:.2f}"


def _run(record: Measured, release: Release) -> Iterator[str]:
    """What is wrong with the circumstances of its run."""
    protocol, conditions = read_protocol(release.manifest).measure, record.conditions
    batches = [one.batch for one in record.latency]
    if batches != sorted(protocol.batches):
        wanted = ", ".join(map(str, sorted(protocol.batches)))
        yield f"it has the batches {', '.join(map(str, batches))}, and the recipe has {wanted}"
    if any(one.calls > protocol.calls for one in record.latency):
        yield f"it has more timed calls than the recipe's {protocol.calls}"
    if conditions is None:
        yield "the conditions of its run are missing"
    elif (busy := sum(one.calls * one.batch / one.images_per_second for one in record.latency)) > ROUNDING * (
        conditions.seconds + 0.1
    ):
        yield f"its calls take {busy:.3g} s, and its run took {conditions.seconds:g} s"
    try:
        at = datetime.fromisoformat(record.measured_at)
        made = datetime.fromisoformat(release.manifest.created_at)
        if not made - CLOCK <= at <= datetime.now(timezone.utc) + CLOCK:
            yield f"it was measured at {record.measured_at}, before the release was made or in the future"
    except (ValueError, TypeError):
        yield f"{record.measured_at!r} is not a time in UTC"


def problems(record: Measured, release: Release, golden: Golden) -> Iterator[str]:
    """Why a record can't be of this release or can't be true, in words."""
    manifest = release.manifest
    files = [one for one in manifest.artifacts if (one.target, one.precision) == (record.target, record.precision)]
    kept = {one.precision for one in manifest.artifacts if one.target == record.target}
    if record.release != manifest.label:
        yield f"it is of {record.release}"
    if record.network != "student" or record.ratios or record.agreement or record.gate or record.ships_by:
        yield "it has figures that zoo bench does not measure"
    if not files and record.precision != "fp32":
        yield f"the release has no artifact in {record.precision} for {record.target}"
    elif files and record.size_bytes != sum(one.size_bytes for one in files):
        yield f"its artifact has {record.size_bytes} bytes, and the release's has another size"
    if record.ships != (len(kept) == 1 and record.precision in kept):
        yield "it does not say truly whether it ships"
    least = golden.min_cosine.get(record.precision, 0.0)
    cosine = record.golden_cosine
    if cosine is None or not least <= cosine <= 1.001:
        said = "is missing" if cosine is None else f"is {cosine:.4f}, at least {least:g} expected"
        yield f"its cosine to the golden embedding {said}"
    yield from _run(record, release)
    yield from _accuracy(record, release)
    for one in record.latency:
        yield from _times(one, manifest.cost.macs)


def _check(sent: Sent, release: Release) -> None:
    """Check a file against its release.

    Raises:
        SubmissionError: it can't be of this release, or can't be true.
        ManifestError: the release has no golden input here.
    """
    label, content = release.manifest.label, sent.content
    again = f"Refused. Ask who sent it to run again: zoo pull {label}, then zoo bench {label} --export FILE"
    if content.content_sha256 != release.manifest.content_sha256:
        raise SubmissionError(
            f"it was measured with another {label}: its content is {content.content_sha256[:12]}, here it is "
            f"{release.manifest.content_sha256[:12]}. {again}"
        )
    golden = read_golden(release.path.parent)
    if golden is None:
        raise SubmissionError(f"{label} has no golden input here, which the check needs. Get it: zoo pull {label}")
    cells = [(one.target, one.precision) for one in content.measurements]
    if len({*cells}) != len(cells):
        raise SubmissionError(f"it has two records of one artifact. {again}")
    for record in content.measurements:
        if found := list(problems(record, release, golden)):
            more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
            raise SubmissionError(f"{record.target} in {record.precision}: {found[0]}{more}. {again}")


def _notes(records: Sequence[Measured], release: Release) -> Iterator[str]:
    """What to know about records that are kept."""
    gate, expected = gate_points(release.manifest), release.manifest.accuracy.student.map
    for one in records:
        name = f"{one.target} in {one.precision}"
        if one.throttled:
            yield f"{name}: its times are void, throttled by {one.throttled}"
        elif one.doubt:
            yield f"{name}: its times are unsteady ({one.doubt})"
        if one.accuracy and one.precision != "fp32" and one.accuracy.map < expected - gate:
            yield f"{name}: mAP {one.accuracy.map:.2f} is more than the gate's {gate:g} points below {expected:.2f}"


def _name(record: Measured) -> str:
    """The name of its file, whoever reported it."""
    return file_name(record.model_copy(update={"reported": None}))


def receive_submission(home: Home, sent: Sent, release: Release, keep: bool = True) -> Received:
    """Check a file, and add its records to a release here, each marked as reported.

    Args:
        keep: False checks only.

    Raises:
        SubmissionError, ManifestError: see `_check`.
        OutputError: they can't be written.
    """
    _check(sent, release)
    about = Reported(
        by=sent.content.by,
        received_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        file_sha256=sent.file_sha256,
    )
    here = {_name(one) for one in release.measured}
    new = [one for one in sent.content.measurements if _name(one) not in here]
    marked = [one.model_copy(update={"reported": about}) for one in new]
    if keep and marked:
        write_measurements(home.measurements / release.manifest.name / release.manifest.version, marked)
    ordered = sorted(marked, key=lambda one: (one.target, PRECISIONS.index(one.precision)))
    return Received(ordered, len(sent.content.measurements) - len(new), [*_notes(new, release)])
