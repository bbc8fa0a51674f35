"""Whether a release's figures can be reproduced: each with its published value and its tolerance.

    cosine              at least the golden input's `min_cosine` for the precision
    map                 0.1 points in fp32; in fp16 and int8 the recipe's gate, calibrate.max_map_drop_points
    cmc1                the same, or two queries if that is more
    p50, images/s, mJ   10 %: two steady runs, each of which may drift by 5 % (`targets.measuring.turns.STEADY`)
    p90, p99            25 % and 50 %: tails depend on other work of the machine

A time compares only with one of the same machine and protocol (`zoo.tables.protocol`), if both runs were steady and
neither was throttled or disturbed; otherwise it is shown and not judged. Accuracy compares across machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from targets.machine.device import this_device
from zoo.release.local import Release
from zoo.release.measurements import Measured
from zoo.tables.columns import Row
from zoo.tables.protocol import ACCURACY, LATENCY, differing
from zoo.tables.rows import gate_points, measurement_rows
from zoo.tables.standing import EXACT_POINTS, SAME_TIME

Verdict = Literal["within", "outside", "not judged"]
QUERIES = 2
TIMES: Mapping[str, float] = {
    "p50_ms": SAME_TIME, "p90_ms": 0.25, "p99_ms": 0.5, "images_per_second": SAME_TIME, "mj_per_image": SAME_TIME,
}  # fmt: skip


@dataclass(frozen=True)
class Repeated:
    """A figure, as published and as measured here."""

    target: str
    precision: str
    figure: str
    published: float | None
    here: float | None
    low: float | None
    """limits of the tolerance"""
    high: float | None
    verdict: Verdict
    why: str
    """why it is not judged; empty if it is"""


def published_for(release: Release, fresh: Measured) -> Measured | None:
    """The published record of the same target, network and precision: of this device, otherwise of any; the newest
    whose times count, otherwise the newest.
    """

    def what(one: Measured) -> tuple[str, ...]:
        return one.target, one.network, one.precision

    alike = [one for one in release.measured if what(one) == what(fresh)]
    here = [one for one in alike if one.device.name == fresh.device.name and one.threads == fresh.threads]

    return max(here or alike, key=lambda one: (one.counts, one.measured_at), default=None)


def published_threads(release: Release, target: str) -> int | None:
    """The number of threads of a target's latest measurement on this device."""
    here = [one for one in release.on(target) if one.device.name == this_device().name]
    return max(here, key=lambda one: one.measured_at).threads if here else None


@dataclass(frozen=True)
class _Pair:
    """Two records of one artifact, and their rows."""

    published: Measured
    here: Measured
    before: Row
    after: Row

    def judged(self, figure: str, room: float, why: str) -> Repeated:
        was, now = self.before[figure], self.after[figure]
        if not why and None in (was, now):
            why = f"not measured {'when it was published' if was is None else 'here'}"
        low, high = (None, None) if why else (was - room, was + room)
        verdict: Verdict = "not judged" if why else "within" if low <= now <= high else "outside"
        return Repeated(self.here.target, self.here.precision, figure, was, now, low, high, verdict, why)

    def no_accuracy(self) -> str:
        """Why accuracy does not compare; empty if it does."""
        return "the data set is not here" if self.after["map"] is None else self._other(ACCURACY)

    def no_time(self, figure: str) -> str:
        """Why a time does not compare; empty if it does."""
        if void := self.after["void"] or self.before["void"]:
            return f"void, throttled by {void}"
        many = figure == "images_per_second"
        keys = [key for key in LATENCY if key != ("batch" if many else "throughput_batch")]
        if other := self._other([*keys, *["meter"] * (figure == "mj_per_image")]):
            return other
        records = (("published", self.published), ("here", self.here))
        if told := [f"{name}: {why}" for name, record in records if (why := record.disturbed)]:
            return f"unsteady, {'; '.join(told)}"
        restless = [name for name, record in records if not record.latency[-1 if many else 0].steady]
        return f"never became steady: {' and '.join(restless)}" if restless else ""

    def _other(self, keys: Sequence[str]) -> str:
        found = differing(self.before, self.after, keys)
        return f"different protocols: {'; '.join(found)}" if found else ""


def repeated(release: Release, here: Measured, min_cosine: float) -> Iterator[Repeated]:
    """Every figure of a record measured here, with the published one.

    Args:
        min_cosine: smallest correct cosine to the golden embedding.
    """
    cosine = here.golden_cosine or 0.0
    right: Verdict = "within" if cosine >= min_cosine else "outside"
    yield Repeated(here.target, here.precision, "cosine", None, cosine, min_cosine, None, right, "")
    published = published_for(release, here)
    if published is None:
        return
    pair = _Pair(published, here, *measurement_rows([Release(release.path, release.manifest, [published, here])]))
    points = EXACT_POINTS if here.precision == "fp32" else gate_points(release.manifest)
    queries = 100 * QUERIES / pair.before["queries"] if pair.before["queries"] else 0.0
    yield pair.judged("map", points, pair.no_accuracy())
    yield pair.judged("cmc1", max(points, queries), pair.no_accuracy())
    for figure, share in TIMES.items():
        was = pair.before[figure]
        if was is not None or (pair.before["void"] and figure == "p50_ms"):
            yield pair.judged(figure, share * (was or 0.0), pair.no_time(figure))
