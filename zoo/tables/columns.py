"""Columns: how a value is formatted, its type, and which end is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = dict[str, Any]
Kind = Literal["number", "text", "yes or no"]

NOTHING = "–"
VOID = "void"  # shown where the machine was throttled; the row holds the reason


@dataclass(frozen=True)
class Number:
    """Formats a number: so many decimals of its multiple; a missing one is a dash."""

    digits: int
    scale: float

    def __call__(self, value: Any) -> str:
        """The text of a value."""
        if value is None:
            return NOTHING
        rounded = round(value * self.scale, self.digits) + 0.0  # not -0.00
        return f"{rounded:,.{self.digits}f}".replace(",", " ")


def number(digits: int, scale: float = 1.0) -> Number:
    """Formats a number with so many decimals; a missing one is a dash."""
    return Number(digits, scale)


def against_torch(lost: float) -> str:
    """A loss of mAP against torch, in words.

    Args:
        lost: points; negative if mAP is higher than in torch.
    """
    points = number(2)(abs(lost))
    return "as in torch" if not float(points) else f"{points} points {'less' if lost > 0 else 'more'} than in torch"


@dataclass(frozen=True)
class Column:
    """A key of a row.

    Attributes:
        heading: with its unit.
        better: the end that is best; None if neither is.
        within: a key that all rows must share for one of them to be best.
        timed: the value counts only if the machine was not throttled.
        optional: hidden in a table where no row has it.
    """

    heading: str
    show: Callable[[Any], str] = str
    kind: Kind = "number"
    better: Literal["high", "low"] | None = None
    within: str | None = None
    timed: bool = False
    optional: bool = False


def _time(heading: str, digits: int = 2, better: Literal["high", "low"] = "low", optional: bool = False) -> Column:
    return Column(heading, number(digits), better=better, timed=True, optional=optional)


# All measurements, in this order. A ratio is to the dense network of the same release and runtime: a high one may come
# from a slow baseline, so none is best.
MEASURED: Mapping[str, Column] = {
    "target": Column("target", kind="text"),
    "network": Column("network", kind="text"),
    "precision": Column("precision", kind="text"),
    "ships": Column("✓", lambda value: "✓" if value else "", kind="yes or no"),
    "map_float": Column("mAP float %", number(2), better="high", optional=True),
    "map": Column("mAP %", number(2), better="high", optional=True),
    "cmc1": Column("R1 %", number(2), better="high", optional=True),
    "parameters": Column("parameters M", number(3, 1e-6), better="low"),
    "macs": Column("MACs M", number(1, 1e-6), better="low"),
    "size_bytes": Column("MB", number(2, 1e-6), better="low"),
    "p50_ms": _time("p50 ms"),
    "p90_ms": _time("p90 ms", optional=True),
    "p99_ms": _time("p99 ms", optional=True),
    "images_per_second": _time("images/s", 0, "high"),
    "mj_per_image": Column("mJ/image", number(2), better="low", within="meter", timed=True, optional=True),
    "ratio_to_dense": Column("× dense", number(2), timed=True, optional=True),
}
# Further values of a measurement's row.
BESIDE: Mapping[str, Column] = {
    "model": Column("model", kind="text"),
    "name": Column("name", kind="text"),
    "dataset": Column("data", kind="text"),
    "license": Column("license", kind="text"),
    "data_license": Column("license of the data", kind="text"),
    "foreign": Column("not trained by zoo", kind="yes or no"),
    "map_drop_points": Column("mAP lost", number(2), better="low"),
    "map_drop_low": Column("mAP lost, from", number(2), better="low"),
    "map_drop_high": Column("mAP lost, to", number(2), better="low"),
    "compute_p50_ms": _time("compute p50 ms"),
    "ratio_low": Column("× dense, from", number(2), timed=True),
    "ratio_high": Column("× dense, to", number(2), timed=True),
    "batch": Column("batch"),
    "throughput_batch": Column("batch of images/s"),
    "calls": Column("calls"),
    "steady": Column("steady", kind="yes or no"),
    "doubt": Column("in doubt", kind="text"),
    "void": Column("void", kind="text"),
    "meter": Column("meter", kind="text"),
    "kind": Column("kind", kind="text"),
    "device": Column("device", kind="text"),
    "architecture": Column("architecture", kind="text"),
    "cores": Column("cores"),
    "unit": Column("computes on", kind="text"),
    "power_mode": Column("power mode", kind="text"),
    "threads": Column("threads"),
    "runtime": Column("runtime", kind="text"),
    "timer": Column("timer", kind="text"),
    "data": Column("data", kind="text"),
    "protocol": Column("accuracy", kind="text"),
    "queries": Column("queries"),
    "gallery": Column("gallery images"),
    "run": Column("run", kind="text"),
    "measured_at": Column("measured at", kind="text"),
    "reported_by": Column("reported by", kind="text"),
    "standing": Column("standing", kind="text"),
}
COLUMNS: Mapping[str, Column] = {
    **MEASURED,
    **BESIDE,
    "mean_cosine": Column("mean cosine", number(5)),
    "shared_neighbours": Column("shared neighbours %", number(1)),
    "cmc5": Column("R5 %", number(2)),
    "cmc10": Column("R10 %", number(2)),
    "minp": Column("mINP %", number(2)),
    "macs_saved": Column("MACs saved %", number(1)),
    "created_at": Column("made (UTC)", lambda value: value[:16].replace("T", " "), kind="text"),
}


def shown(row: Row, key: str) -> str:
    """The text of a cell."""
    column = COLUMNS.get(key, Column(key))
    if column.timed and row.get("void"):
        return VOID
    if key == "network" and row.get("foreign"):
        return "foreign"
    return column.show(row[key])
