"""Rows of plain values from releases, in full precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from targets.contract import Runtime
from targets.errors import as_written
from targets.settings import REQUIREMENTS
from zoo.release.compression import BudgetRecord, Compression
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured, Pending
from zoo.tables.columns import COLUMNS, Row, number
from zoo.tables.standing import EXACT_POINTS, UNNAMED, standing

UNITS = {"CUDA": "GPU"}  # devices that runtimes call by different names


def _runtime(runtime: Runtime) -> str:
    options = ", ".join(
        f"{name}: {as_written(runtime.options[name])}" for name in runtime.options if name not in REQUIREMENTS
    )
    return f"{runtime.name} {runtime.version}" + f" ({options})" * bool(options)


def gate_points(manifest: Manifest) -> float:
    """Points of mAP that a precision below fp32 may lose, by the release's recipe."""
    told = manifest.recipe.get("calibrate")
    found = told.get("max_map_drop_points") if isinstance(told, Mapping) else None
    return float(found) if isinstance(found, int | float) else EXACT_POINTS


def _doubt_of_ratio(release: Release, record: Measured) -> bool:
    """Whether a ratio is unreliable: times of one of the two networks, or of the whole run, do not count."""
    if not record.ratios:
        return False
    network, _, precision = record.ratios[0].baseline.replace("-", "/").partition("/")
    others = [one for one in release.measured if (one.run, one.target) == (record.run, record.target)]
    baseline = [one for one in others if (one.network, one.precision) == (network, precision)]
    return any(one.doubt for one in (record, *baseline))


def _row(release: Release, record: Measured) -> Row:
    manifest = release.manifest
    teacher = record.network == "teacher"
    cost = manifest.dense_cost if teacher else manifest.cost
    in_torch = (manifest.accuracy.teacher if teacher else None) or manifest.accuracy.student
    same_data = manifest.data.fingerprint == record.data
    here, agreement = record.accuracy, record.agreement
    same_protocol = here and (in_torch.protocol, in_torch.queries) == (here.protocol, here.queries)
    map_float = in_torch.map if same_data and same_protocol else None
    alone, largest = record.latency[0], record.latency[-1]
    ratio = record.ratios[0] if record.ratios and not _doubt_of_ratio(release, record) else None
    drop_low, drop_high = (agreement and agreement.map_drop_interval) or (None, None)
    void = record.throttled  # the machine was throttled: its times are not valid
    row: Row = {
        "model": manifest.label,
        "name": manifest.name,
        "license": manifest.licenses.weights,
        "data_license": manifest.licenses.data,
        "foreign": manifest.foreign is not None,
        "target": record.target,
        "network": record.network,
        "precision": record.precision,
        "ships": record.ships,
        "kind": record.kind,
        "map_float": map_float,
        "map": here and here.map,
        "cmc1": here and here.cmc1,
        "map_drop_points": agreement and agreement.map_drop_points,
        "map_drop_low": drop_low,
        "map_drop_high": drop_high,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "size_bytes": record.size_bytes,
        "batch": alone.batch,
        "calls": alone.calls,
        "p50_ms": alone.p50_ms,
        "p90_ms": alone.p90_ms,
        "p99_ms": alone.p99_ms,
        "compute_p50_ms": alone.compute_p50_ms,
        "throughput_batch": largest.batch,
        "images_per_second": largest.images_per_second,
        "mj_per_image": alone.energy.mj_per_image if alone.energy else None,
        "meter": alone.energy.source if alone.energy else None,
        "ratio_to_dense": ratio.ratio if ratio else None,
        "ratio_low": ratio.low if ratio else None,
        "ratio_high": ratio.high if ratio else None,
        "steady": record.doubt is None,
        "doubt": record.doubt,
        "void": void,
        "device": record.device.name,
        "architecture": record.device.architecture,
        "cores": record.device.cores,
        "unit": UNITS.get(record.runtime.device, record.runtime.device),
        "power_mode": record.conditions and record.conditions.power_mode,
        "threads": record.threads,
        "runtime": _runtime(record.runtime),
        "timer": alone.timer,
        "dataset": manifest.data.name if same_data else None,
        "data": record.data,
        "protocol": here and here.protocol,
        "queries": here and here.queries,
        "gallery": here and here.gallery,
        "run": record.run,
        "measured_at": record.measured_at,
        "reported_by": record.reported and (record.reported.by or UNNAMED),
        "standing": standing(record, release.measured, gate_points(manifest)),
    }
    return {key: None if void and COLUMNS[key].timed else value for key, value in row.items()}


def measurement_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per measured record: network, precision, target, run. The dense teacher comes before the pruned student.

    Times of a throttled run are None, and `void` says why. Times of a disturbed or unsteady run are shown, but have no
    ratio and are never best; `doubt` says why. What was not measured is in `estimated_rows`, `emulated_rows`,
    `pending_rows` and `broken_rows`.
    """
    return [_row(release, record) for release in releases for record in release.measured]


def estimated_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per precision whose accuracy on a target is estimated, since nothing was measured there yet."""
    fields = {"target", "kind", "network", "precision", "data", "map", "method"}
    return [
        {
            "model": release.manifest.label,
            **one.model_dump(include=fields),
            "map_drop_points": one.agreement.map_drop_points,
        }
        for release in releases
        for one in release.estimated
    ]


def emulated_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per artifact that was run on an emulated processor; without times, since it has none of its own."""
    fields = {
        "target", "kind", "network", "precision", "agrees", "device", "cpu", "emulator", "runtime", "data", "images",
        "largest_difference", "min_cosine", "mean_cosine", "golden_cosine", "checked_at",
    }  # fmt: skip
    return [
        {
            "model": release.manifest.label,
            **one.model_dump(include=fields),
            "how": one.words,
            "emulated_map": one.accuracy and one.accuracy.map,
            "map_here": one.accuracy_here and one.accuracy_here.map,
        }
        for release in releases
        for one in release.emulated
    ]


def broken_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per precision that a target does not support."""
    fields = {"target", "kind", "network", "precision", "reason", "runtime", "found_at"}
    return [
        {"model": release.manifest.label, **one.model_dump(include=fields)}
        for release in releases
        for one in release.broken
    ]


def pending_rows(releases: Iterable[Release]) -> list[Row]:
    """One row per target whose device has not run yet, with the command that makes its bundle."""
    return [
        {
            "model": release.manifest.label,
            **one.model_dump(include={"target", "kind", "bundle", "bundle_sha256"}),
            "command": release.manifest.command_for(one.target),
        }
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
            "parameters": manifest.cost.parameters,
            "macs": manifest.cost.macs,
            "macs_saved": saved(manifest.compression)["macs"] if manifest.compression else None,
            "targets": list(
                dict.fromkeys(
                    one.target + " (pending)" * (one.kind == "pending")
                    for one in release.measurements
                    if isinstance(one, Measured | Pending)
                )
            ),
            "created_at": manifest.created_at,
        }
        for release in releases
        for manifest in [release.manifest]
    ]


def site_rows(manifest: Manifest) -> list[Row]:
    """One row per site, before and after compaction."""
    shown: Mapping[str, Callable[[Any], str]] = {
        "width": str, "parameters M": number(3, 1e-6), "MACs M": number(1, 1e-6),
    }  # fmt: skip
    rows = []
    for site in manifest.compression.sites if manifest.compression else ():
        figures = site.model_dump()
        row = {"site": site.site}
        for heading, show in shown.items():
            key = heading.split()[0].lower()
            row[heading] = f"{show(figures[f'{key}_before'])} → {show(figures[f'{key}_after'])}"
        rows.append(row)
    return rows


def calibration_rows(manifest: Manifest) -> list[Row]:
    """One row per quantised graph: its cost in the reference runtime, and its layers that stay in float."""
    return [
        {
            "network": manifest.role(one.network),
            "precision": one.precision,
            "target": one.target or "all",
            "judged in": one.judge,
            "map_drop_points": one.agreement.map_drop_points,
            "mean_cosine": one.agreement.mean_cosine,
            "smallest cosine": number(5)(one.agreement.min_cosine),
            "shared_neighbours": one.agreement.shared_neighbours,
            "images": len(one.images),
            "float layers": ", ".join(one.float_layers) or "–",
            "gate": "holds" if one.holds else "does not hold",
        }
        for one in manifest.calibrations
    ]


def saved(compression: Compression) -> dict[str, float]:
    """Shares of parameters and MACs that compaction removed, in %."""
    before, after = compression.before, compression.after
    return {key: 100 * (1 - getattr(after, key) / getattr(before, key)) for key in ("parameters", "macs")}


def _shipped(release: Release) -> list[tuple[Measured, Row]]:
    """The shipped record of each target with its row: of the latest run that has a ratio, else of the latest run."""
    latest: dict[str, tuple[Measured, Row]] = {}

    def place(record: Measured, row: Row) -> tuple[bool, str]:
        return row["ratio_to_dense"] is not None, record.measured_at

    for record in (one for one in release.measured if one.ships):
        row = _row(release, record)
        if record.target not in latest or place(record, row) >= place(*latest[record.target]):
            latest[record.target] = record, row
    return [*latest.values()]


def _budget_line(budget: BudgetRecord, release: Release) -> str:
    """Predicted and measured figure, in a line."""
    unit = {"p50_ms": "ms", "images_per_second": "images/s", "mj_per_image": "mJ/image"}[budget.what]
    told = "not measured yet"
    if budget.measured is not None:
        off = 100 * (budget.measured / budget.asked - 1)
        doubt = next(
            (
                one.doubt
                for one in release.on(budget.target)
                if (one.network, one.precision) == ("student", budget.precision)
            ),
            None,
        )
        told = f"measured {budget.measured:.4g} {unit} ({doubt or f'{off:+.1f} % of the budget'})"
    there = {(one.device.name, one.runtime.version) for one in release.on(budget.target)}
    if there and (budget.device.name, budget.runtime_version) not in there:
        told += f"; predicted from widths on {budget.device.name} with version {budget.runtime_version}"
    return (
        f"budget {budget.asked:g} {unit} on {budget.target} in {budget.precision}: predicted {budget.predicted:.4g}, "
        f"{told}; dense {budget.dense:.4g}"
    )


def _origin(manifest: Manifest) -> str:
    """The effect of compaction; or that there was none, since the network is foreign."""
    accuracy = manifest.accuracy
    if manifest.compression and accuracy.teacher:
        shares = saved(manifest.compression)
        return (
            f"compaction removed {shares['macs']:.1f} % of MACs and {shares['parameters']:.1f} % of parameters; "
            f"mAP {accuracy.teacher.map:.2f} (teacher) → {accuracy.student.map:.2f} (student)"
        )
    file = manifest.foreign
    told = f" {file.file}, sha256 {file.sha256[:12]};" if file else ""
    return f"not trained by zoo, nothing was removed:{told} mAP {accuracy.student.map:.2f} in {manifest.reference}"


def _unsaid(shipped: Measured, row: Row) -> str:
    """Why no speed is claimed and how to measure again; empty if it is claimed."""
    by = ", the smallest that passes the gate, since no time is reliable" if shipped.ships_by == "size" else ""
    if row["void"] or (row["ratio_to_dense"] is not None) or not (shipped.ratios or row["doubt"]):
        return by
    why = row["doubt"] or "the dense network never became steady"
    return f"{by}; unsteady ({why}): on an idle machine, zoo bench {shipped.release}"


def gains(release: Release) -> list[str]:
    """The effect of compaction, or that zoo did not train the network; one line per target, and another line with
    re-ranking.
    """
    manifest = release.manifest
    lines = [_origin(manifest)]
    if manifest.budget:
        lines.append(_budget_line(manifest.budget, release))
    dense = {one.run: one for one in release.measured if (one.network, one.precision) == ("teacher", "fp32")}
    for shipped, row in _shipped(release):
        ratio, low, high = row["ratio_to_dense"], row["ratio_low"], row["ratio_high"]
        interval = f" ({low:.2f} … {high:.2f})" if low and high else ""
        pace = f", {ratio:.2f}×{interval} the dense teacher's speed in the same run (batch 1)" if ratio else ""
        lines.append(
            f"{shipped.target} ships {shipped.precision}: mAP {number(2)(row['map'])}{pace}{_unsaid(shipped, row)}"
        )
        baseline = dense.get(shipped.run)
        if baseline and baseline.reranked and shipped.reranked:
            change = f"mAP {baseline.reranked.map:.2f} (teacher) → {shipped.reranked.map:.2f} (student)"
            lines.append(f"{shipped.target}, {shipped.reranked.protocol.split(' over')[0]}: {change}")
    return lines
