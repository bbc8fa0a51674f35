"""What the pages of a release, a device and a data set show, as plain values for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.networks.cost import Cost
from zoo.documents.licenses import stated
from zoo.documents.limits import limits
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured
from zoo.sanitize import one_line
from zoo.site.cells import Cell, HtmlTable, measured_table, plain_table
from zoo.site.data import MACHINE, SiteJson, data_page, device_page, gate_of
from zoo.site.source import Entry
from zoo.tables.columns import NOTHING, Row, number
from zoo.tables.comparison import Comparison, compare
from zoo.tables.formats import lines_beside
from zoo.tables.protocol import ACCURACY, Group
from zoo.tables.rows import gains, measurement_rows, saved

BAR = 120  # units that the widest bar is long
MOST_RUNS = 200  # of a device whose conditions are listed
Up = Callable[[str], str]


def _up(path: str) -> str:
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
    """The page of a release."""

    manifest: Manifest
    entry: Entry
    pull: str
    gate: float | None
    shares: Mapping[str, float]
    gains: Sequence[str]
    tables: Sequence[HtmlTable]
    apart: str | None
    beside: Sequence[str]
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
    size_bytes: int


def release_facts(entry: Entry, site: SiteJson) -> ReleaseFacts:
    """The page of a release; links are relative to a folder of the site."""
    release = entry.release
    manifest = release.manifest
    comparison = compare([release])
    gate = gate_of(manifest)
    devices = {row["device"]: _up(device_page(row)) for row in comparison.rows}
    ships = [one for one in manifest.artifacts if one.target]
    return ReleaseFacts(
        manifest=manifest,
        entry=entry,
        pull=f"zoo pull {manifest.label}" + (f" --registry {site['pull']}" if _plain(site["pull"]) else ""),
        gate=gate,
        shares=saved(manifest),
        gains=[one_line(line) for line in gains(release)],
        tables=[measured_table(group, {manifest.label: gate}) for group in comparison.groups],
        apart=comparison.apart,
        beside=lines_beside(comparison),
        accuracy=_accuracy(manifest),
        costs=_costs(manifest),
        sites=_sites(manifest),
        calibrations=_calibrations(manifest),
        lineage=_lineage(manifest),
        files=_files(manifest),
        licenses=[(part, stated(terms)) for part, terms in manifest.licenses],
        limits=[one_line(line) for line in limits(manifest, release.measurements)],
        devices=[*devices.items()],
        data=_up(data_page(manifest.data.name, manifest.data.fingerprint)),
        size_bytes=min((one.size_bytes for one in ships), default=0),
    )


def _plain(url: str | None) -> bool:
    """Whether an address can stand in a command line as it is."""
    return url is not None and all(one.isalnum() or one in "-._~:/@%+" for one in url) and url.isascii()


def _figures(accuracy: Any) -> list[str]:
    return [f"{getattr(accuracy, key):.2f}" for key in ("map", "cmc1", "cmc5", "cmc10", "minp")]


def _accuracy(manifest: Manifest) -> HtmlTable:
    told = manifest.accuracy
    rows = [
        ["teacher", *_figures(told.teacher), told.teacher.queries],
        ["student before compaction", *_figures(told.dense_student), told.dense_student.queries],
        ["student", *_figures(told.student), told.student.queries],
    ]
    headings = ["network, in torch", "mAP %", "R1 %", "R5 %", "R10 %", "mINP %", "queries"]
    table = plain_table("Accuracy in torch", headings, rows)
    table.lines.append(one_line(told.student.protocol))
    return table


def _costs(manifest: Manifest) -> HtmlTable:
    compression = manifest.compression
    costs: dict[str, Cost] = {
        "teacher": compression.teacher,
        "student before compaction": compression.before,
        "student": compression.after,
    }
    millions = number(3, 1e-6), number(1, 1e-6)
    rows = [[name, millions[0](cost.parameters), millions[1](cost.macs)] for name, cost in costs.items()]
    return plain_table("Parameters and multiply-accumulates", ["network", "parameters M", "MACs M"], rows)


def _sites(manifest: Manifest) -> list[SiteBars]:
    sites = manifest.compression.sites
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
            one.network,
            one.precision,
            one.target or "all",
            one.judge,
            len(one.images) or NOTHING,
            f"{one.agreement.map_drop_points:.2f}",
            "{:.2f}–{:.2f}".format(*one.agreement.map_drop_interval) if one.agreement.map_drop_interval else NOTHING,
            f"{one.agreement.mean_cosine:.5f}",
            f"{one.agreement.shared_neighbours:.1f}",
            Cell("holds" if one.holds else "does not hold", kind="text " + ("within" if one.holds else "over")),
            f"{len(one.float_layers)} of {one.layers}" if one.layers else NOTHING,
        ]
        for one in manifest.calibrations
    ]
    headings = [
        "network", "precision", "target", "judged in", "images", "mAP lost", "95 % interval", "mean cosine",
        "shared neighbours %", "gate", "layers in float",
    ]  # fmt: skip
    return plain_table("Calibration", headings, rows, words=4) if rows else None


def _lineage(manifest: Manifest) -> HtmlTable:
    names = {stage.key: stage.name for stage in manifest.stages}
    rows = [
        [
            stage.name,
            ", ".join(names.get(key, key[:12]) for key in stage.inputs.values()) or NOTHING,
            ", ".join(f"{name} {version}" for name, version in sorted(stage.libraries.items())) or NOTHING,
            _when(stage.finished_at),
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
            f"{file.size_bytes / 1e6:,.3f}",
        ]
        for file in sorted(manifest.files, key=lambda one: PurePosixPath(one.path).parts)
    ]
    return plain_table("Files", ["file", "precision", "target", "sha256", "MB"], listed, words=4)


def _when(moment: str) -> str:
    return one_line(moment[:16].replace("T", " "))


@dataclass(frozen=True)
class DeviceFacts:
    """The page of a device."""

    name: str
    architecture: str
    cores: int
    memory: str
    systems: Sequence[str]
    runtimes: Sequence[str]
    tables: Sequence[HtmlTable]
    runs: HtmlTable
    more_runs: int


def device_facts(comparison: Comparison, releases: Sequence[Release], links: Mapping[str, str]) -> dict[str, DeviceFacts]:
    """The pages of all devices, by path.

    Args:
        links: paths of pages by release.
    """
    records: dict[str, list[tuple[Row, Measured]]] = {}
    for release in releases:
        for row, record in zip(measurement_rows([release]), release.measured, strict=True):
            records.setdefault(device_page(row), []).append((row, record))
    gates = {release.manifest.label: gate_of(release.manifest) for release in releases}
    groups: dict[str, list[Group]] = {}
    for group in comparison.groups:
        ships = [row for row in group.rows if row["ships"]]
        groups.setdefault(device_page(group.rows[0]), []).append(Group(ships or group.rows))

    def link(model: str) -> str:
        return _up(links[model])

    return {
        page: _device(found, [measured_table(group, gates, link) for group in groups[page]], link)
        for page, found in records.items()
    }


def _device(found: Sequence[tuple[Row, Measured]], tables: Sequence[HtmlTable], link: Up) -> DeviceFacts:
    name, architecture, cores = (found[0][0][key] for key in MACHINE)
    devices = [record.device for _, record in found]
    memory = sorted({one.memory_gib for one in devices if one.memory_gib})
    runs = {record.run: (row, record) for row, record in found}
    newest = sorted(runs.values(), key=lambda pair: pair[1].measured_at, reverse=True)
    return DeviceFacts(
        name=one_line(name),
        architecture=one_line(architecture),
        cores=cores,
        memory=" or ".join(f"{one:g} GiB" for one in memory) or "not known",
        systems=sorted({one_line(one.system) for one in devices}),
        runtimes=sorted({one_line(f"{row['runtime']} on {row['unit']}") for row, _ in found}),
        tables=tables,
        runs=_runs(newest[:MOST_RUNS], link),
        more_runs=max(0, len(newest) - MOST_RUNS),
    )


def _runs(pairs: Sequence[tuple[Row, Measured]], link: Up) -> HtmlTable:
    headings = [
        "release", "target", "runtime", "measured (UTC)", "power mode", "governors", "state", "threads",
        "CPU MHz before → after", "°C before → after", "other work, cores", "seconds",
    ]  # fmt: skip
    rows = []
    for row, record in pairs:
        at = record.conditions
        rows.append(
            [
                Cell(one_line(row["model"]), kind="text", link=link(row["model"])),
                row["target"],
                row["runtime"],
                _when(record.measured_at),
                (at and at.power_mode) or NOTHING,
                ", ".join(at.governors) if at and at.governors else NOTHING,
                row["void"] and f"void: {row['void']}" or row["doubt"] and f"unsteady: {row['doubt']}" or "steady",
                record.threads,
                _change(at and at.before.cpu_mean_mhz, at and at.after.cpu_mean_mhz),
                _change(_hottest(at and at.before.temperatures_c), _hottest(at and at.after.temperatures_c)),
                NOTHING if at is None or at.other_work_cores is None else f"{at.other_work_cores:.2f}",
                NOTHING if at is None else f"{at.seconds:,.0f}",
            ]
        )
    return plain_table("Conditions of each run", headings, rows, words=7)


def _hottest(temperatures: Mapping[str, float] | None) -> float | None:
    return max(temperatures.values()) if temperatures else None


def _change(before: float | None, after: float | None) -> str:
    if before is None and after is None:
        return NOTHING
    return " → ".join(NOTHING if one is None else f"{one:,.0f}" for one in (before, after))


@dataclass(frozen=True)
class DataFacts:
    """The page of a data set."""

    name: str
    fingerprint: str
    licenses: Sequence[str]
    counts: HtmlTable
    protocols: Sequence[str]
    releases: HtmlTable
    devices: Sequence[tuple[str, str]]


def data_facts(entries: Sequence[Entry], rows: Sequence[Row], links: Mapping[str, str]) -> dict[str, DataFacts]:
    """The pages of all data sets, by path."""
    found: dict[tuple[str, str], list[Manifest]] = {}
    for entry in entries:
        data = entry.release.manifest.data
        found.setdefault((data.name, data.fingerprint), []).append(entry.release.manifest)
    by_data: dict[str, list[Row]] = {}
    for row in rows:
        by_data.setdefault(row["data"], []).append(row)
    return {
        data_page(*key): _data(*key, manifests, by_data.get(key[1], []), links) for key, manifests in found.items()
    }


def _data(
    name: str, fingerprint: str, manifests: Sequence[Manifest], rows: Sequence[Row], links: Mapping[str, str]
) -> DataFacts:
    counts = dict.fromkeys(
        (
            one.data.train_images, one.data.train_identities, one.data.gate_images, one.data.gate_identities,
            one.data.query_images, one.data.gallery_images,
        )
        for one in manifests
    )  # fmt: skip
    headings = [
        "training images", "their identities", "held out for the gate", "their identities", "queries",
        "gallery images",
    ]  # fmt: skip
    listed = [
        [
            Cell(one.label, kind="text", link=_up(links[one.label])),
            Cell(one_line(one.description), kind="text wide"),
            f"{one.accuracy.teacher.map:.2f}",
            f"{one.accuracy.student.map:.2f}",
            f"{one.accuracy.student.cmc1:.2f}",
        ]
        for one in manifests
    ]
    told = ["release", "description", "mAP % teacher", "mAP % student", "R1 % student"]
    protocols = dict.fromkeys(tuple(row[key] for key in ACCURACY[1:]) for row in rows if row["protocol"])
    return DataFacts(
        name=one_line(name),
        fingerprint=fingerprint,
        licenses=sorted({stated(one.licenses.data) or "not stated" for one in manifests}),
        counts=plain_table("Images", headings, [[f"{n:,}".replace(",", " ") for n in one] for one in counts], words=0),
        protocols=[f"{queries} queries, {gallery} gallery images: {words}" for words, queries, gallery in protocols],
        releases=plain_table("Releases trained on it, in torch", told, listed, words=2),
        devices=[*{one_line(row["device"]): _up(device_page(row)) for row in rows}.items()],
    )
