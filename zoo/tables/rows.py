"""Tables from manifests: rows of plain values first, then how they look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from zoo.manifest import Manifest
from zoo.measurements import Measured
from zoo.releases import Release

Row = dict[str, Any]


def _number(digits: int, scale: float = 1.0) -> Callable[[Any], str]:
    return lambda value: "–" if value is None else f"{value * scale:,.{digits}f}".replace(",", " ")


# key of a row → heading, format; for all measurements in this order
MEASURED: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "target": ("target", str),
    "network": ("network", str),
    "precision": ("precision", str),
    "ships": ("✓", lambda value: "✓" if value else ""),
    "map": ("mAP %", _number(2)),
    "cmc1": ("R1 %", _number(2)),
    "parameters": ("parameters M", _number(3, 1e-6)),
    "macs": ("MACs M", _number(1, 1e-6)),
    "size_bytes": ("MB", _number(2, 1e-6)),
    "p50_ms": ("p50 ms", _number(2)),
    "p90_ms": ("p90 ms", _number(2)),
    "ratio_to_dense": ("× dense", _number(2)),
    "images_per_second": ("images/s", _number(0)),
}
COLUMNS = {
    **MEASURED,
    "map_drop_points": ("mAP lost", _number(2)),
    "mean_cosine": ("mean cosine", _number(5)),
    "shared_neighbours": ("shared neighbours %", _number(1)),
    "cmc5": ("R5 %", _number(2)),
    "cmc10": ("R10 %", _number(2)),
    "minp": ("mINP %", _number(2)),
    "macs_saved": ("MACs saved %", _number(1)),
    "created_at": ("made (UTC)", lambda value: value[:16].replace("T", " ")),
}


def _row(release: Release, record: Measured) -> Row:
    manifest = release.manifest
    cost = manifest.compression.teacher if record.network == "teacher" else manifest.compression.after
    alone, largest = record.latency[0], record.latency[-1]
    void = record.conditions.throttled  # the machine was slowed down: times are not its own

    def valid(value: float | None) -> float | None:
        return None if void else value

    return {
        "model": manifest.label,
        "network": record.network,
        "precision": record.precision,
        "target": record.target,
        "map": record.accuracy.map,
        "cmc1": record.accuracy.cmc1,
        "map_drop_points": record.agreement.map_drop_points,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "size_bytes": record.size_bytes,
        "batch": alone.batch,
        "p50_ms": valid(alone.p50_ms),
        "p90_ms": valid(alone.p90_ms),
        "p99_ms": valid(alone.p99_ms),
        "compute_p50_ms": valid(alone.compute_p50_ms),
        "ratio_to_dense": valid(record.ratios[0].ratio) if record.ratios else None,
        "ratio_low": valid(record.ratios[0].low) if record.ratios else None,
        "ratio_high": valid(record.ratios[0].high) if record.ratios else None,
        "mj_per_image": valid(alone.energy.mj_per_image) if alone.energy else None,
        "void": void,
        "throughput_batch": largest.batch,
        "images_per_second": valid(largest.images_per_second),
        "steady": all(latency.steady for latency in record.latency),
        "ships": record.ships,
        "kind": record.kind,
        "device": record.device.name,
        "runtime": f"{record.runtime.name} {record.runtime.version}",
        "threads": record.threads,
    }


def measurement_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per network, precision and target: dense teacher above pruned student."""
    return [_row(release, record) for release in releases for record in release.measured]


def pending_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per target that waits for its device."""
    return [
        {"model": release.manifest.label, **one.model_dump(include={"target", "kind", "bundle", "bundle_sha256"})}
        for release in releases
        for one in release.pending
    ]


def release_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per release."""
    return [
        {
            "model": manifest.label,
            "data": manifest.data.name,
            "map": manifest.accuracy.student.map,
            "cmc1": manifest.accuracy.student.cmc1,
            "parameters": manifest.compression.after.parameters,
            "macs": manifest.compression.after.macs,
            "macs_saved": saved(manifest)["macs"],
            "targets": list(dict.fromkeys(one.target + " (pending)" * (one.kind == "pending") for one in records)),
            "created_at": manifest.created_at,
        }
        for release in releases
        for manifest, records in [(release.manifest, release.measurements)]
    ]


def site_rows(manifest: Manifest) -> list[Row]:
    """One row per site, before and after compaction."""
    shown: Mapping[str, Callable[[Any], str]] = {
        "width": str, "parameters M": _number(3, 1e-6), "MACs M": _number(1, 1e-6),
    }  # fmt: skip
    rows = []
    for site in manifest.compression.sites:
        figures = site.model_dump()
        row = {"site": site.site}
        for heading, show in shown.items():
            key = heading.split()[0].lower()
            row[heading] = f"{show(figures[f'{key}_before'])} → {show(figures[f'{key}_after'])}"
        rows.append(row)
    return rows


def calibration_rows(manifest: Manifest) -> list[Row]:
    """One row per graph in small numbers: what it costs where it was judged, and which layers are float in it."""
    return [
        {
            "network": one.network,
            "precision": one.precision,
            "target": one.target or "all",
            "judged in": one.judge,
            "map_drop_points": one.agreement.map_drop_points,
            "mean_cosine": one.agreement.mean_cosine,
            "shared_neighbours": one.agreement.shared_neighbours,
            "images": len(one.images),
            "float layers": ", ".join(one.float_layers) or "–",
            "gate": "holds" if one.holds else "does not hold",
        }
        for one in manifest.calibrations
    ]


def saved(manifest: Manifest) -> dict[str, float]:
    """Shares of parameters and MACs that compaction removed, %."""
    before, after = manifest.compression.before, manifest.compression.after
    return {key: 100 * (1 - getattr(after, key) / getattr(before, key)) for key in ("parameters", "macs")}


def table(rows: Sequence[Row], columns: Iterable[str], caption: str | None = None) -> Table:
    """A table for a terminal; numbers are right-aligned, a missing one is a dash; only headings wrap."""
    result = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", caption_style="dim", pad_edge=False)
    cells = []
    for key in columns:
        heading, shown = COLUMNS.get(key, (key, str))
        text = all(isinstance(row[key], str | list) for row in rows)
        column = ["\n".join(row[key]) if isinstance(row[key], list) else shown(row[key]) for row in rows]
        least = max((len(line) for cell in column for line in cell.split("\n")), default=0)
        result.add_column(heading, justify="left" if text else "right", min_width=least, overflow="fold")
        cells.append(column)
    for row_cells in zip(*cells, strict=True):
        result.add_row(*row_cells)
    return result


def measurement_table(releases: Sequence[Release]) -> Table:
    """Teacher and student on each target; with a column for the model if there are several."""
    rows = measurement_rows(releases)
    columns = ("model", *MEASURED) if len(releases) > 1 else MEASURED
    batches = sorted({(row["batch"], row["throughput_batch"]) for row in rows})
    devices = sorted({f"{row['device']}, {row['threads']} thread{'s' * (row['threads'] > 1)}" for row in rows})
    restless = sorted({f"{r['network']} {r['precision']} on {r['target']}" for r in rows if not r["steady"]})
    void = sorted({f"{row['target']} (throttled: {row['void']})" for row in rows if row["void"]})
    notes = [f"void: {', '.join(void)}"] * bool(void) + [f"never became steady: {', '.join(restless)}"] * bool(restless)
    said = "; ".join(f"p50 and p90 at batch {one}, images/s at batch {many}" for one, many in batches)
    return table(rows, columns, "; ".join((said, "whole call", *devices, *notes)))


def gains(release: Release) -> list[str]:
    """What compaction bought, a line per run on a target."""
    manifest = release.manifest
    shares = saved(manifest)
    accuracy = manifest.accuracy
    lines = [
        f"compaction removed {shares['macs']:.1f} % of MACs and {shares['parameters']:.1f} % of parameters; "
        f"mAP {accuracy.teacher.map:.2f} (teacher) → {accuracy.student.map:.2f} (student)"
    ]
    dense = {one.run: one for one in release.measured if (one.network, one.precision) == ("teacher", "fp32")}
    for shipped in (one for one in release.measured if one.ships):
        row = _row(release, shipped)
        ratio, low, high = row["ratio_to_dense"], row["ratio_low"], row["ratio_high"]
        interval = f" ({low:.2f} … {high:.2f})" if low and high else ""
        pace = f", {ratio:.2f}×{interval} the dense teacher's speed in the same run (batch 1)" if ratio else ""
        lines.append(f"{shipped.target} ships {shipped.precision}: mAP {row['map']:.2f}{pace}")
        baseline = dense.get(shipped.run)
        if baseline and baseline.reranked and shipped.reranked:
            change = f"mAP {baseline.reranked.map:.2f} (teacher) → {shipped.reranked.map:.2f} (student)"
            lines.append(f"{shipped.target}, {shipped.reranked.protocol.split(' over')[0]}: {change}")
    return lines
