"""What the pages of devices and data sets show, and the lists of all releases, devices and data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from targets.measuring.conditions import State
from zoo.release.licensing import stated
from zoo.release.local import Release
from zoo.release.manifest import Manifest
from zoo.release.measurements import Measured
from zoo.sanitize import one_line
from zoo.site.cells import Cell, HtmlTable, filled, measured_table, plain_table
from zoo.site.data import MACHINE, SiteJson, data_page, device_page, gate_of
from zoo.site.facts import TOLD, above, when
from zoo.site.names import slug
from zoo.site.source import Entry, Source
from zoo.tables.columns import COLUMNS, NOTHING, Row
from zoo.tables.comparison import Comparison
from zoo.tables.protocol import ACCURACY, Group
from zoo.tables.rows import measurement_rows, release_rows

MOST_RUNS = 200  # of a device whose conditions are listed
Up = Callable[[str], str]


@dataclass(frozen=True)
class DeviceFacts:
    """The page of a device; `id` is its name in the URL of the board."""

    id: str
    name: str
    architecture: str
    cores: int
    memory: str
    systems: Sequence[str]
    runtimes: Sequence[str]
    tables: Sequence[HtmlTable]
    runs: HtmlTable
    more_runs: int


def device_facts(
    comparison: Comparison, releases: Sequence[Release], links: Mapping[str, str]
) -> dict[str, DeviceFacts]:
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
        return above(links[model])

    return {
        page: _device(found, [measured_table(group, gates, link, _alike(group)) for group in groups[page]], link)
        for page, found in records.items()
    }


def _alike(group: Group) -> list[str]:
    """Columns that tell nothing here: what is equal in all rows, and what pages of releases tell."""
    return [*TOLD, "cmc1", *(key for key in ("network", "ships") if len({row[key] for row in group.rows}) == 1)]


def _device(found: Sequence[tuple[Row, Measured]], tables: Sequence[HtmlTable], link: Up) -> DeviceFacts:
    name, architecture, cores = (found[0][0][key] for key in MACHINE)
    devices = [record.device for _, record in found]
    memory = sorted({one.memory_gib for one in devices if one.memory_gib})
    runs = {record.run: (row, record) for row, record in found}
    newest = sorted(runs.values(), key=lambda pair: pair[1].measured_at, reverse=True)
    return DeviceFacts(
        id=slug(name, architecture, cores),
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
                when(record.measured_at),
                (at and at.power_mode) or NOTHING,
                ", ".join(at.governors) if at and at.governors else NOTHING,
                (row["void"] and f"void: {row['void']}") or (row["doubt"] and f"unsteady: {row['doubt']}") or "steady",
                record.threads,
                _change(*((at.before.cpu_mean_mhz, at.after.cpu_mean_mhz) if at else (None, None))),
                _change(*((_hottest(at.before), _hottest(at.after)) if at else (None, None))),
                NOTHING if at is None or at.other_work_cores is None else f"{at.other_work_cores:.2f}",
                NOTHING if at is None else f"{at.seconds:,.0f}",
            ]
        )
    kept, filled_rows = filled(headings, rows)
    return plain_table("Conditions of each run", kept, filled_rows, words=kept.index("threads") if rows else 0)


def _hottest(state: State) -> float | None:
    return max(state.temperatures_c.values()) if state.temperatures_c else None


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
    return {data_page(*key): _data(*key, manifests, by_data.get(key[1], []), links) for key, manifests in found.items()}


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
        "training images", "training identities", "images for the gate", "identities for the gate", "queries",
        "gallery images",
    ]  # fmt: skip
    listed = [
        [
            Cell(one.label, kind="text", link=above(links[one.label])),
            Cell(one_line(one.description), kind="text wide"),
            f"{one.accuracy.teacher.map:.2f}" if one.accuracy.teacher else NOTHING,
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
        devices=[*{one_line(row["device"]): above(device_page(row)) for row in rows}.items()],
    )


def release_list(source: Source, document: SiteJson) -> Mapping[str, Any]:
    told = {one["model"]: one for one in document["releases"]}
    keys = ("data", "map", "cmc1", "parameters", "macs", "macs_saved")
    rows = []
    for row in release_rows([entry.release for entry in source.entries]):
        about = told[row["model"]]
        marks = ["withdrawn"] * (about["yanked"] is not None)
        first = Cell(row["model"], " ".join(marks), "text", about["page"])
        targets = Cell(one_line(", ".join(row["targets"])), kind="text wide")
        values = [COLUMNS[key].show(row[key]) for key in keys[1:]]
        rows.append([first, Cell(about["description"], kind="text wide"), row["data"], targets, *values])
    headings = ["release", "description", "data set", "measured on", *(COLUMNS[key].heading for key in keys[1:])]
    return {"title": "Releases", "table": plain_table("All releases, in torch", headings, rows, words=4)}


def device_list(document: SiteJson) -> Mapping[str, Any]:
    rows = [
        [Cell(one["name"], kind="text", link=one["page"]), one["architecture"], one["cores"], one["releases"],
         one["measurements"]]
        for one in document["devices"]
    ]  # fmt: skip
    headings = ["device", "architecture", "cores", "releases", "measurements"]
    note = "Another device appears here once somebody measured a release on it; the page of each release says how."
    return {
        "title": "Devices",
        "note": note,
        "table": plain_table("All devices, the most used first", headings, rows, words=2),
    }


def data_list(document: SiteJson) -> Mapping[str, Any]:
    rows = [
        [Cell(str(one["dataset"] or one["data"]), kind="text", link=one["page"]), one["protocol"],
         Cell(str(one["data"])[:12], kind="text hash"), one["queries"], one["gallery"],
         sum(len(table["rows"]) for table in document["tables"] if table["board"] == at)]
        for at, one in enumerate(document["boards"]) if one["data"]
    ]  # fmt: skip
    headings = ["data set", "protocol", "fingerprint", "queries", "gallery images", "measurements"]
    return {"title": "Data sets", "table": plain_table("Data sets that releases were measured on", headings, rows, 3)}
