"""Limits of a release's figures, from its records, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zoo.documents.artifact_agreement import artifact_agreements
from zoo.release.licensing import stated
from zoo.release.manifest import Manifest
from zoo.release.measurements import Broken, Emulated, Estimated, Measured, Measurement, Pending
from zoo.release.unmeasured import newest_emulated
from zoo.tables.columns import against_torch, number

NEAR = 0.95  # mean cosine of int8 embeddings to those in float, from which on a gallery may hold both
FEW_QUERIES = 1000  # for a share of this many, the 95 % interval is up to ±3 points


def _of_accuracy(manifest: Manifest) -> Iterator[str]:
    data, accuracy = manifest.data, manifest.accuracy.student
    yield f"Accuracy is known for {data.name} only, not for other cameras, places or kinds of objects."
    if manifest.foreign:
        known = manifest.foreign.trained_on
        yield (
            "zoo did not train this network, and can't know whether images or identities of the test set were "
            "among its training images, which would inflate the accuracy. "
            + (f"It was trained on {known}, as stated." if known else "What it was trained on is not stated.")
        )
    if accuracy.queries < FEW_QUERIES:
        points = 98 / accuracy.queries**0.5  # 1.96 √(¼ ÷ n), in per cent, or more, see below
        yield (
            f"The test set is small: with {accuracy.queries} queries, R1 is uncertain by up to ±{min(points, 50):.0f} "
            "points (95 %), or more, since images of one identity are correlated."
        )
    if accuracy.skipped:
        yield f"{accuracy.skipped} queries have no correct answer in the gallery and do not count."
    if not data.gate_identities and manifest.calibrations:
        yield (
            "Precisions and float layers were chosen on the test set (no training identities were held out), "
            "so the accuracy is inflated."
        )
    for one in manifest.calibrations:
        ships = any(a.precision == one.precision and one.target in (None, a.target) for a in manifest.artifacts)
        if one.network == "student" and ships and not one.holds:
            where = f" for {one.target}" if one.target else ""
            yield (
                f"The {one.precision} graph{where} fails the accuracy gate: it loses "
                f"{one.agreement.map_drop_points:.2f} points of mAP."
            )


def _of_embeddings(manifest: Manifest, measurements: Sequence[Measurement]) -> Iterator[str]:
    for one in artifact_agreements(manifest, measurements):
        if one.precision == "int8" and one.agreement.mean_cosine < NEAR:
            yield (
                f"int8 on {one.target} gives other embeddings than the network in {manifest.reference}: their mean "
                f"cosine is {number(5)(one.agreement.mean_cosine)} ({one.where}). Do not mix its embeddings in one "
                "gallery with those of another artifact: similarities would be wrong. Search a gallery with the "
                "artifact that embedded it."
            )


def _name(record: Measured | Estimated | Emulated | Broken) -> str:
    return f"{record.network} {record.precision} on {record.target}"


def _listed(records: Iterable[Measured]) -> str:
    return ", ".join(dict.fromkeys(map(_name, records)))


def _of_times(measured: Sequence[Measured]) -> Iterator[str]:
    if not measured:
        yield "Its speed is unknown: it was not measured on any device."
        return
    devices = dict.fromkeys(f"{one.device.name} ({one.target})" for one in measured)
    yield f"Measured on these devices only: {', '.join(devices)}. Others may be slower, by different factors."
    if void := [one for one in measured if one.throttled]:
        why = "; ".join(dict.fromkeys(str(one.throttled) for one in void))
        yield f"Void, because the machine was throttled ({why}): {_listed(void)}."
    if restless := [one for one in measured if not all(latency.steady for latency in one.latency)]:
        yield f"Times never became steady: {_listed(restless)}."
    busy = {f"{one.target} ({one.disturbed})" for one in measured if one.disturbed}
    if busy:
        yield f"The machine was not idle, so times are unreliable: {', '.join(sorted(busy))}."
    if silent := dict.fromkeys(
        one.device.name for one in measured if not (one.conditions and one.conditions.tells_throttling)
    ):
        yield f"Does not report throttling: {', '.join(silent)}."


def _of_emulated(record: Emulated) -> str:
    """What emulation showed, and what it can't show."""
    tail = (
        "Boards may choose other kernels." if record.agrees else "Do not compare embeddings of the two with each other."
    )
    return f"{_name(record)} was emulated, not run on a board. On {record.words}. {tail}"


def _of_pending(manifest: Manifest, target: str) -> str:
    """What somebody can do who has the device, and the release as it is published: without bundles."""
    needed = f"the data set {manifest.data.name}" + (f" and {manifest.foreign.file}" if manifest.foreign else "")
    return (
        f"{target} is pending: nothing was measured there. On such a device, zoo bench {manifest.label} --target "
        f"{target} measures what is published. For a device without zoo, and for every precision: "
        f"{manifest.command_for(target)} makes a bundle, on a machine with {needed}. "
        "Bundles hold test images, so none is published."
    )


def _of_unmeasured(manifest: Manifest, measurements: Sequence[Measurement]) -> Iterator[str]:
    for one in measurements:
        match one:
            case Estimated():
                yield (
                    f"mAP of {_name(one)} is estimated, not measured: {one.map:.2f} expected, "
                    f"{against_torch(one.agreement.map_drop_points)}. Method: {one.method}."
                )
            case Pending():
                yield _of_pending(manifest, one.target)
            case Broken():
                yield f"{_name(one)} is not available. It is broken: {one.reason}"


def limits(manifest: Manifest, measurements: Sequence[Measurement]) -> list[str]:
    """All limits, as sentences in plain text."""
    measured = [one for one in measurements if isinstance(one, Measured)]
    unstated = [part for part, terms in manifest.licenses if stated(terms) is None]
    lines = [*_of_accuracy(manifest), *_of_embeddings(manifest, measurements), *_of_times(measured)]
    lines += _of_unmeasured(manifest, measurements)
    lines += map(_of_emulated, newest_emulated(measurements))
    if unstated:
        lines.append(f"License not stated: {', '.join(unstated)}. See LICENSES.md before you use it.")
    return lines
