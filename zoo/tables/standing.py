"""Whether a measurement that somebody else sent was repeated by the publisher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from zoo.release.measurements import Measured

Standing = Literal["reported", "repeated"]
SAME_TIME = 0.1  # two steady runs, each of which may drift by 5 % (`targets.measuring.turns.STEADY`)
EXACT_POINTS = 0.1  # mAP of the same graph in fp32
UNNAMED = "unnamed"


def standing(record: Measured, others: Iterable[Measured], gate_points: float) -> Standing | None:
    """`repeated`: the publisher measured the same artifact on a device of the same name in the same way, and mAP and
    p50 agree; else `reported`. None for the publisher's own records.

    Args:
        others: all records of the release.
        gate_points: points of mAP by which precisions below fp32 may differ.
    """
    if record.reported is None:
        return None
    own = (one for one in others if one.reported is None)
    return "repeated" if any(_agree(record, one, gate_points) for one in own) else "reported"


def _how(record: Measured) -> tuple[object, ...]:
    conditions, alone = record.conditions, record.latency[0]
    mode = conditions.power_mode if conditions else None
    device = record.device.name, record.device.architecture, record.device.cores, record.threads, mode
    return record.target, record.network, record.precision, *device, alone.batch, alone.timer


def _agree(one: Measured, other: Measured, gate_points: float) -> bool:
    if _how(one) != _how(other) or not (one.counts and other.counts):
        return False
    room = EXACT_POINTS if one.precision == "fp32" else gate_points
    mine, theirs = one.accuracy, other.accuracy
    if mine and theirs and one.data == other.data and abs(mine.map - theirs.map) > room:
        return False
    first, second = one.latency[0].p50_ms, other.latency[0].p50_ms
    return abs(first - second) <= SAME_TIME * second
