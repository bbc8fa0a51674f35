"""What a reader of a release's figures has to know: only what its records say, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zoo.documents.licenses import stated
from zoo.release.manifest import Manifest
from zoo.release.measurements import Broken, Estimated, Measured, Measurement, Pending

FEW_QUERIES = 1000  # of a share of so many, the 95 % interval is up to ±3 points wide


def _of_accuracy(manifest: Manifest) -> Iterator[str]:
    data, accuracy = manifest.data, manifest.accuracy.student
    yield f"Accuracy is known on {data.name} alone: not for other cameras, places or kinds of things."
    if accuracy.queries < FEW_QUERIES:
        points = 98 / accuracy.queries**0.5  # 1.96 √(¼ ÷ n), in per cent; images of one identity are kin, so it is more
        yield (
            f"The test set is small: of {accuracy.queries} queries, R1 is uncertain by up to ±{min(points, 50):.0f} "
            "points (95 %), or more, as images of one identity are alike."
        )
    if accuracy.skipped:
        yield f"{accuracy.skipped} queries have no right answer in the gallery and do not count."
    if not data.gate_identities and manifest.calibrations:
        yield (
            "Precisions and float layers were chosen on the test set itself (no training identities were held out for "
            "that): its figures flatter the choice."
        )
    for one in manifest.calibrations:
        ships = any(a.precision == one.precision and one.target in (None, a.target) for a in manifest.artifacts)
        if one.network == "student" and ships and not one.holds:
            where = f" for {one.target}" if one.target else ""
            yield (
                f"The {one.precision} graph{where} does not hold the gate on accuracy: it loses "
                f"{one.agreement.map_drop_points:.2f} points of mAP."
            )


def _name(record: Measured | Estimated | Broken) -> str:
    return f"{record.network} {record.precision} on {record.target}"


def _listed(records: Iterable[Measured]) -> str:
    return ", ".join(dict.fromkeys(map(_name, records)))


def _of_times(measured: Sequence[Measured]) -> Iterator[str]:
    if not measured:
        yield "Nothing is known of its speed: it was measured on no device."
        return
    devices = dict.fromkeys(f"{one.device.name} ({one.target})" for one in measured)
    yield f"Measured on these devices only: {', '.join(devices)}. On others it may be slower, and not by one factor."
    if void := [one for one in measured if one.throttled]:
        why = "; ".join(dict.fromkeys(str(one.throttled) for one in void))
        yield f"Void, because the machine was throttled ({why}): {_listed(void)}."
    if restless := [one for one in measured if not all(latency.steady for latency in one.latency)]:
        yield f"Times never became steady: {_listed(restless)}."
    busy = {f"{one.target} ({one.disturbed})" for one in measured if one.disturbed}
    if busy:
        yield f"The machine was not quiet, and times make no claims: {', '.join(sorted(busy))}."
    if silent := dict.fromkeys(
        one.device.name for one in measured if not (one.conditions and one.conditions.tells_throttling)
    ):
        yield f"Would not say whether it was throttled: {', '.join(silent)}."


def _of_unmeasured(measurements: Sequence[Measurement]) -> Iterator[str]:
    for one in measurements:
        match one:
            case Estimated():
                yield (
                    f"mAP of {_name(one)} is estimated, not measured: {one.map:.2f} is expected, "
                    f"{one.agreement.map_drop_points:.2f} points less than in torch. Method: {one.method}."
                )
            case Pending():
                bundle = f"Its bundle {one.bundle} waits for the device."
                yield f"{one.target} is pending: nothing was measured there. {bundle}"
            case Broken():
                yield f"There is no {_name(one)}. It is broken: {one.reason}"


def limits(manifest: Manifest, measurements: Sequence[Measurement]) -> list[str]:
    """Sentences, in plain text."""
    measured = [one for one in measurements if isinstance(one, Measured)]
    unstated = [part for part, license in manifest.licenses if stated(license) is None]
    lines = [*_of_accuracy(manifest), *_of_times(measured), *_of_unmeasured(measurements)]
    if unstated:
        lines.append(f"License not stated: {', '.join(unstated)}. See LICENSES.md before you use it.")
    return lines
