"""Changes from one release to another: accuracy and times of the student, regressions first.

Rows are matched by target, device and precision. Of several records the newest counts: for accuracy the newest that
has one, for times the newest that is not void. Accuracy has changed if mAP moved by more than a tolerance in points.
A time has changed if it moved by more than a tolerance in per cent *and* the machine is ruled out as the cause: two
releases are timed in separate runs, not in turn, so the clock, other load or a driver can move a figure of an
unchanged model. A change is unsure if

- one of the runs never became steady, or was disturbed by other work;
- both runs timed a dense network of equal size, and the intervals of the two ratios to it, in which the machine
  cancels, overlap or point the other way.

Changes beyond tolerance are then listed as *unsure*, as are figures that were not measured under one protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from zoo.errors import CompareError
from zoo.release.local import Release
from zoo.release.measurements import Measured
from zoo.tables.columns import COLUMNS, Row
from zoo.tables.protocol import ACCURACY, LATENCY, differing, names_of
from zoo.tables.rows import measurement_rows

Bucket = Literal["regressions", "improvements", "unsure", "unchanged"]
Figure = Literal["map", "p50_ms", "images_per_second"]
BUCKETS: tuple[Bucket, ...] = ("regressions", "improvements", "unsure", "unchanged")
TIMES: tuple[Figure, ...] = ("p50_ms", "images_per_second")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Change:
    """One figure, before and after."""

    target: str
    device: str
    precision: str
    ships: bool
    figure: Figure
    before: float | None
    after: float | None
    change: float | None
    """mAP in points; else in per cent of `before`"""
    bucket: Bucket
    why: str
    """what makes it unsure; empty if nothing does"""


@dataclass(frozen=True)
class Difference:
    """All changes, and the `precision on target, device` that only one of two releases was measured in."""

    before: str
    after: str
    map_points: float
    latency_percent: float
    changes: list[Change] = field(default_factory=list)
    only_before: list[str] = field(default_factory=list)
    only_after: list[str] = field(default_factory=list)

    def of(self, bucket: Bucket) -> list[Change]:
        """Changes of one kind, largest first."""
        found = [change for change in self.changes if change.bucket == bucket]
        return sorted(found, key=lambda one: -abs(one.change or 0.0))

    def as_json(self) -> dict[str, Any]:
        """Releases and tolerances, a list of changes per bucket, and `only_before` and `only_after`."""
        plain = asdict(self)
        del plain["changes"]
        listed = {bucket: [asdict(change) for change in self.of(bucket)] for bucket in BUCKETS}
        return {**plain, **{name: [_without_bucket(one) for one in found] for name, found in listed.items()}}


def _without_bucket(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key != "bucket"}


@dataclass(frozen=True)
class _Seen:
    """A row with values outside it: the ratios at the smallest and largest batch, and the cost of the dense network."""

    row: Row
    record: Measured
    dense: tuple[int, int]

    def ratio(self, figure: str) -> tuple[float, float] | None:
        """Interval of the ratio to the dense network, at the batch size of a figure."""
        latency = self.record.latency[0 if figure == "p50_ms" else -1]
        found = [one for one in self.record.ratios if one.batch == latency.batch]
        if not found or found[0].low is None or found[0].high is None:
            return None
        return found[0].low, found[0].high

    def steady(self, figure: str) -> bool:
        return self.record.latency[0 if figure == "p50_ms" else -1].steady


@dataclass(frozen=True)
class Evidence:
    """What decides whether a moved time of a row counts (see the module), for p50 and for images/s.

    Attributes:
        disturbed: why the machine makes times unreliable; None if it does not.
        steady: whether the times settled, at the batch size of p50 and of images/s.
        ratios: the intervals of the ratios to the dense network at these batch sizes; None where there is none.
    """

    disturbed: str | None
    steady: tuple[bool, bool]
    ratios: tuple[tuple[float, float] | None, tuple[float, float] | None]


def evidence(release: Release) -> list[Evidence]:
    """For each row of `measurement_rows`, in their order."""
    found = []
    for record in release.measured:
        one = _Seen({}, record, (0, 0))
        found.append(
            Evidence(
                record.disturbed,
                (one.steady("p50_ms"), one.steady("images_per_second")),
                (one.ratio("p50_ms"), one.ratio("images_per_second")),
            )
        )
    return found


def _seen(release: Release) -> dict[Key, list[_Seen]]:
    teacher = release.manifest.dense_cost
    found: dict[Key, list[_Seen]] = {}
    rows = measurement_rows([release])
    for row, record in sorted(zip(rows, release.measured, strict=True), key=lambda pair: pair[1].measured_at):
        if record.network == "student":
            key = tuple(row[name] for name in ("target", "device", "architecture", "cores", "unit", "precision"))
            found.setdefault(key, []).append(_Seen(row, record, (teacher.parameters, teacher.macs)))
    return found


def diff(before: Release, after: Release, map_points: float, latency_percent: float) -> Difference:
    """Compare two releases.

    Args:
        map_points: tolerance for mAP, in percentage points.
        latency_percent: tolerance for p50 and images/s, in per cent.

    Raises:
        CompareError: both are the same release, or they were not measured in a common place.
    """
    if before.manifest.label == after.manifest.label:
        raise CompareError(f"both names mean {before.manifest.label}. Name two versions: NAME@VERSION.")
    return difference(before, after, map_points, latency_percent)


def difference(before: Release, after: Release, map_points: float, latency_percent: float) -> Difference:
    """`diff`, also of two builds of one version.

    Raises:
        CompareError: they were not measured in a common place.
    """
    first, second = before.manifest.label, after.manifest.label
    old, new = _seen(before), _seen(after)
    both = [key for key in old if key in new]
    if not both:
        there = [
            f"{label} on {'; '.join(names_of([one.row for found in seen.values() for one in found])) or 'nothing yet'}"
            for label, seen in ((first, old), (second, new))
        ]
        raise CompareError(
            f"the two releases have no target, device and precision in common: {', '.join(there)}. "
            "Build both for the same target."
        )
    changes = []
    for key in both:
        changes.append(_accuracy(_judged(old[key]).row, _judged(new[key]).row, map_points))
        timed = _valid(old[key]), _valid(new[key])
        changes += [_time(*timed, figure, latency_percent) for figure in TIMES]
    return Difference(
        first, second, map_points, latency_percent, changes, only_before=_only(old, new), only_after=_only(new, old)
    )


def _only(seen: Mapping[Key, Any], other: Mapping[Key, Any]) -> list[str]:
    return [f"{key[-1]} on {key[0]}, {key[1]}" for key in seen if key not in other]


def _valid(found: Sequence[_Seen]) -> _Seen:
    return next((one for one in reversed(found) if not one.row["void"]), found[-1])


def _judged(found: Sequence[_Seen]) -> _Seen:
    return next((one for one in reversed(found) if one.record.accuracy), found[-1])


def _change(old: Row, new: Row, figure: Figure, moved: float | None, tolerance: float, why: str) -> Change:
    bucket: Bucket = "unchanged"
    if why or moved is None:
        bucket = "unsure"
    elif abs(moved) > tolerance:
        bucket = "regressions" if _worse(figure, moved) else "improvements"
    about = {name: new[name] for name in ("target", "device", "precision", "ships")}
    return Change(**about, figure=figure, before=old[figure], after=new[figure], change=moved, bucket=bucket, why=why)


def _worse(figure: Figure, moved: float) -> bool:
    return (moved > 0) == (COLUMNS[figure].better == "low")


def _accuracy(old: Row, new: Row, points: float) -> Change:
    if None in (old["map"], new["map"]):
        return _change(old, new, "map", None, points, "accuracy was not measured for both")
    return _change(old, new, "map", new["map"] - old["map"], points, _other_protocol(old, new, ACCURACY))


def _time(old: _Seen, new: _Seen, figure: Figure, percent: float) -> Change:
    before, after = old.row[figure], new.row[figure]
    if void := new.row["void"] or old.row["void"]:
        return _change(old.row, new.row, figure, None, percent, f"void, throttled by {void}")
    other_batch = "throughput_batch" if figure == "p50_ms" else "batch"
    moved = 100 * (after / before - 1)
    why = _other_protocol(old.row, new.row, [key for key in LATENCY if key != other_batch])
    if not why and abs(moved) > percent:
        why = _doubt(old, new, figure, _worse(figure, moved))
    return _change(old.row, new.row, figure, moved, percent, why)


def _other_protocol(old: Row, new: Row, keys: Sequence[str]) -> str:
    found = differing(old, new, keys)
    return f"different protocols: {'; '.join(found)}" if found else ""


def _doubt(old: _Seen, new: _Seen, figure: Figure, slower: bool) -> str:
    """Why a time may have moved without the model; empty if the model is the cause."""
    sides = (("before", old), ("after", new))
    if told := [f"{name}: {why}" for name, one in sides if (why := one.record.disturbed)]:
        return f"unsteady, {'; '.join(told)}"
    if restless := [name for name, one in sides if not one.steady(figure)]:
        return f"never became steady: {' and '.join(restless)}"
    was, now = old.ratio(figure), new.ratio(figure)
    if was is None or now is None or old.dense != new.dense:
        return ""
    lost, won = now[1] < was[0], now[0] > was[1]
    if lost if slower else won:
        return ""
    return f"ratio to the dense network {was[0]:.2f} … {was[1]:.2f}× before and {now[0]:.2f} … {now[1]:.2f}× after"
