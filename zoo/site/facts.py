"""What the page of a release shows, as plain values for its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.networks.cost import Cost
from zoo.documents.limits import limits
from zoo.release.licensing import stated
from zoo.release.manifest import Manifest
from zoo.sanitize import one_line
from zoo.site.cells import Cell, HtmlTable, beside_table, interval, measured_table, plain_table
from zoo.site.data import SiteJson, data_page, device_page, gate_of
from zoo.site.names import release_page
from zoo.site.source import Entry
from zoo.tables.columns import NOTHING, Row, number
from zoo.tables.comparison import compare
from zoo.tables.rows import gains, saved

BAR = 120  # units that the widest bar is long
TOLD = ("map_float", "parameters", "macs")  # columns that the page tells under "Accuracy" and "Compression"


def above(path: str) -> str:
    """A path of the site as seen from a folder in it."""
    return f"../{path}"


@dataclass(frozen=True)
class SiteBars:
    """A compacted site: channels, parameters and MACs, with the length of each bar before and after."""

    name: str
    channels: tuple[int, int]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    lengths: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ReleaseFacts:
    """The page of a release, whose path is `page`; `fastest` and `smallest` are rows of artifacts that ship."""

    manifest: Manifest
    entry: Entry
    page: str
    pull: str
    gate: float | None
    shares: Mapping[str, float] | None
    gains: Sequence[str]
    tables: Sequence[HtmlTable]
    apart: str | None
    beside: HtmlTable
    accuracy: HtmlTable
    costs: HtmlTable
    sites: Sequence[SiteBars]
    calibrations: HtmlTable | None
    lineage: HtmlTable
    files: HtmlTable
    licenses: Sequence[tuple[str, str | None]]
    limits: Sequence[str]
    devices: Sequence[tuple[str, str]]
    data: str
    fastest: Row | None
    smallest: Row | None


def release_facts(entry: Entry, site: SiteJson) -> ReleaseFacts:
    """The page of a release; links are relative to a folder of the site."""
    release = entry.release
    manifest = release.manifest
    comparison = compare([release])
    gate = gate_of(manifest)
    devices = {row["device"]: above(device_page(row)) for row in comparison.rows}
    ships = [row for row in comparison.rows if row["ships"] and row["standing"] != "reported"]
    counts = [row for row in ships if row["p50_ms"] is not None and row["doubt"] is None]
    return ReleaseFacts(
        manifest=manifest,
        entry=entry,
        page=release_page(manifest),
        pull=_pull(entry, site["pull"]),
        gate=gate,
        shares=saved(manifest.compression) if manifest.compression else None,
        gains=[one_line(line) for line in gains(release)],
        tables=[measured_table(group, {manifest.label: gate}, without=TOLD) for group in comparison.groups],
        apart=comparison.apart,
        beside=beside_table(comparison),
        accuracy=_accuracy(manifest),
        costs=_costs(manifest),
        sites=_sites(manifest),
        calibrations=_calibrations(manifest),
        lineage=_lineage(manifest),
        files=_files(manifest),
        licenses=[(part, stated(terms)) for part, terms in manifest.licenses],
        limits=[one_line(line) for line in limits(manifest, release.measurements)],
        devices=[*devices.items()],
        data=above(data_page(manifest.data.name, manifest.data.fingerprint)),
        fastest=min(counts, key=lambda row: row["p50_ms"], default=None),
        smallest=min(ships, key=lambda row: row["size_bytes"], default=None),
    )


def _pull(entry: Entry, url: str | None) -> str:
    """The command that gets a release; empty if it is not published."""
    if entry.signed == "unpublished":
        return ""
    return f"zoo pull {entry.release.manifest.label}" + (f" --registry {url}" if _plain(url) else "")


def _plain(url: str | None) -> bool:
    """Whether an address can stand in a command line as it is."""
    return url is not None and all(one.isalnum() or one in "-._~:/@%+" for one in url) and url.isascii()


def shipping(manifest: Manifest) -> str:
    """The network that ships, in a word."""
    return "foreign network" if manifest.foreign else "student"


def _figures(accuracy: Any) -> list[str]:
    return [f"{getattr(accuracy, key):.2f}" for key in ("map", "cmc1", "cmc5", "cmc10", "minp")]


def _accuracy(manifest: Manifest) -> HtmlTable:
    told = manifest.accuracy
    named = {"teacher": told.teacher, "student before compaction": told.dense_student, shipping(manifest): told.student}
    rows = [[name, *_figures(one), one.queries] for name, one in named.items() if one]
    headings = [f"network, in {manifest.reference}", "mAP %", "R1 %", "R5 %", "R10 %", "mINP %", "queries"]
    table = plain_table(f"Accuracy in {manifest.reference}", headings, rows)
    table.lines.append(one_line(told.student.protocol))
    return table


def _costs(manifest: Manifest) -> HtmlTable:
    compression = manifest.compression
    costs: dict[str, Cost] = {shipping(manifest): manifest.cost}
    if compression:
        costs = {"teacher": compression.teacher, "student before compaction": compression.before, **costs}
    millions = number(3, 1e-6), number(1, 1e-6)
    rows = [[name, millions[0](cost.parameters), millions[1](cost.macs)] for name, cost in costs.items()]
    return plain_table("Parameters and multiply-accumulates", ["network", "parameters M", "MACs M"], rows)


def _sites(manifest: Manifest) -> list[SiteBars]:
    sites = manifest.compression.sites if manifest.compression else []
    figures = [
        (
            (one.width_before, one.width_after),
            (one.parameters_before, one.parameters_after),
            (one.macs_before, one.macs_after),
        )
        for one in sites
    ]
    widest = [max((max(pair[at]) for pair in figures), default=1) or 1 for at in range(3)]
    return [
        SiteBars(
            one_line(one.site),
            *figure,
            tuple(
                (round(BAR * before / most, 1), round(BAR * after / most, 1))
                for (before, after), most in zip(figure, widest, strict=True)
            ),
        )
        for one, figure in zip(sites, figures, strict=True)
    ]


def _calibrations(manifest: Manifest) -> HtmlTable | None:
    rows = [
        [
            manifest.role(one.network),
            one.precision,
            one.target or "all",
            one.judge,
            len(one.images) or NOTHING,
            number(2)(one.agreement.map_drop_points),
            interval(*(one.agreement.map_drop_interval or (None, None))) or NOTHING,
            f"{one.agreement.mean_cosine:.5f}",
            f"{one.agreement.min_cosine:.5f}",
            f"{one.agreement.shared_neighbours:.1f}",
            Cell("holds" if one.holds else "does not hold", kind="text " + ("within" if one.holds else "over")),
            f"{len(one.float_layers)} of {one.layers}" if one.layers else NOTHING,
        ]
        for one in manifest.calibrations
    ]
    headings = [
        "network", "precision", "target", "judged in", "images", "mAP lost", "95 % interval", "mean cosine",
        "smallest cosine", "shared neighbours %", "gate", "layers in float",
    ]  # fmt: skip
    return plain_table("Calibration", headings, rows, words=4) if rows else None


def _lineage(manifest: Manifest) -> HtmlTable:
    names = {stage.key: stage.name for stage in manifest.stages}
    rows = [
        [
            stage.name,
            ", ".join(names.get(key, key[:12]) for key in stage.inputs.values()) or NOTHING,
            ", ".join(f"{name} {version}" for name, version in sorted(stage.libraries.items())) or NOTHING,
            when(stage.finished_at),
            Cell(stage.key[:12], kind="text hash"),
            stage.version,
            f"{stage.seconds:,.1f}",
        ]
        for stage in manifest.stages
    ]
    headings = ["stage", "from", "libraries", "finished (UTC)", "key", "version", "seconds"]
    return plain_table("Lineage", headings, rows, words=5)


def _files(manifest: Manifest) -> HtmlTable:
    listed = [
        [
            file.path,
            getattr(file, "precision", None) or NOTHING,
            getattr(file, "target", None) or NOTHING,
            Cell(file.sha256, kind="text hash"),
            size(file.size_bytes),
        ]
        for file in sorted(manifest.files, key=lambda one: PurePosixPath(one.path).parts)
    ]
    return plain_table("Files", ["file", "precision", "target", "sha256", "size"], listed, words=4)


def size(count: int) -> str:
    """A size in kB or MB."""
    return f"{count / 1e6:,.2f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def when(moment: str) -> str:
    """A moment without seconds and zone."""
    return one_line(moment[:16].replace("T", " "))
