"""data.json: everything that pages compare, in one document.

A table is a `zoo.tables.protocol.Group`: rows of one protocol. Its board is the data set with the protocol of accuracy,
its device the machine. What is equal in all rows of a table stands in its `protocol`; the rest in `rows`, each a list
in the order of `columns`, as in `pandas.DataFrame(table["rows"], columns=data["columns"])`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from zoo import __version__
from zoo.release.manifest import Manifest
from zoo.site.meanings import MEANINGS
from zoo.site.names import release_page, slug
from zoo.site.source import Entry, Source
from zoo.tables.columns import COLUMNS, MEASURED, Number, Row
from zoo.tables.comparison import KEYS, Comparison
from zoo.tables.diff import Evidence, evidence
from zoo.tables.protocol import ACCURACY, LATENCY, Group, grouped
from zoo.tables.rows import broken_rows, emulated_rows, estimated_rows, measurement_rows, pending_rows

FORMAT: Literal["zoo site"] = "zoo site"
SCHEMA: Literal[1] = 1
EQUAL = (*ACCURACY, *LATENCY)  # in all rows of a table
# Beside `KEYS`: what `zoo diff` asks (`zoo.tables.diff.Evidence`)
BESIDE = ("disturbed", "p50_steady", "throughput_steady", "p50_ratios", "throughput_ratios")
IN_ROWS = (*(key for key in KEYS if key not in EQUAL), *BESIDE)
MACHINE = ("device", "architecture", "cores")


class ColumnJson(TypedDict):
    """A column of rows: how it is shown, and which end is better."""

    heading: str
    kind: Literal["number", "text", "yes or no"]
    better: Literal["high", "low"] | None
    timed: bool  # void where the machine was throttled
    usual: bool  # a column of `zoo compare`
    meaning: NotRequired[str]
    digits: NotRequired[int]
    scale: NotRequired[float]


class BoardJson(TypedDict):
    """A data set with the protocol of accuracy; all null where only times were measured."""

    id: str
    dataset: str | None
    data: str | None  # fingerprint
    protocol: str | None
    queries: int | None
    gallery: int | None
    page: str | None


class DeviceJson(TypedDict):
    """A machine, and how much was measured on it."""

    id: str
    name: str
    architecture: str
    cores: int
    releases: int
    measurements: int
    page: str


class TableJson(TypedDict):
    """Rows of one protocol. `best` holds, by column, the places of the best rows that ship."""

    id: str
    board: int
    device: int
    protocol: dict[str, Any]
    settings: str
    where: str
    how: str
    notes: list[str]
    best: dict[str, list[int]]
    rows: list[list[Any]]


class ReleaseJson(TypedDict):
    """A release: what rows refer to by `model`."""

    model: str
    page: str
    description: str
    dataset: str
    gate: float | None  # points of mAP that a smaller precision may lose
    dense: tuple[int, int]  # parameters and MACs of the dense network
    yanked: str | None
    signed: str


class SiteJson(TypedDict):
    """The document."""

    format: Literal["zoo site"]
    schema_version: Literal[1]
    zoo: str
    revision: int | None
    pull: str | None  # the registry to pull from
    columns: list[str]
    shown: dict[str, ColumnJson]
    boards: list[BoardJson]
    devices: list[DeviceJson]
    tables: list[TableJson]
    releases: list[ReleaseJson]
    estimated: list[Row]
    emulated: list[Row]
    pending: list[Row]
    broken: list[Row]
    damaged: dict[str, str]


def gate_of(manifest: Manifest) -> float | None:
    """The limit on the mAP that a smaller precision may lose, in points; None if the recipe does not tell it."""
    settings = manifest.recipe.get("calibrate")
    limit = settings.get("max_map_drop_points") if isinstance(settings, Mapping) else None
    return float(limit) if isinstance(limit, int | float) and not isinstance(limit, bool) and limit >= 0 else None


def device_page(row: Mapping[str, Any]) -> str:
    """Path of the page of a row's machine."""
    return f"device/{slug(*(row[key] for key in MACHINE))}.html"


def data_page(name: str, fingerprint: str) -> str:
    """Path of the page of a data set."""
    return f"data/{slug(name, fingerprint)}.html"


def _column(key: str) -> ColumnJson:
    column = COLUMNS[key]
    told: ColumnJson = {
        "heading": column.heading,
        "kind": column.kind,
        "better": column.better,
        "timed": column.timed,
        "usual": key in MEASURED,
    }
    if key in MEANINGS:
        told["meaning"] = MEANINGS[key]
    if isinstance(column.show, Number):
        told |= {"digits": column.show.digits, "scale": column.show.scale}
    return told


def _beside(told: Evidence) -> dict[str, Any]:
    return dict(zip(BESIDE, (told.disturbed, *told.steady, *told.ratios), strict=True))


def site_data(source: Source) -> tuple[SiteJson, Comparison]:
    """The document, and the comparison it is made from."""
    releases = [entry.release for entry in source.entries]
    measured = measurement_rows(releases)
    told = chain.from_iterable(map(evidence, releases))
    beside = {id(row): _beside(one) for row, one in zip(measured, told, strict=True)}
    others = estimated_rows(releases), emulated_rows(releases), pending_rows(releases), broken_rows(releases)
    comparison = Comparison(grouped(measured), *others)
    boards, devices = _boards(comparison.groups, source.entries), _devices(comparison.rows)
    by_board = {(one["data"], one["protocol"], one["queries"], one["gallery"]): at for at, one in enumerate(boards)}
    by_device = {(one["name"], one["architecture"], one["cores"]): place for place, one in enumerate(devices)}

    def table(group: Group) -> TableJson:
        told = group.protocol
        full = [row | beside[id(row)] for row in group.rows]
        return {
            "id": slug("", *(told[key] for key in EQUAL)),
            "board": by_board[told["data"], told["protocol"], told["queries"], told["gallery"]],
            "device": by_device[told["device"], told["architecture"], told["cores"]],
            "protocol": told,
            "settings": _settings(told),
            "where": group.where,
            "how": group.how,
            "notes": group.notes,
            "best": group.best,
            "rows": [[row[key] for key in IN_ROWS] for row in full],
        }

    document: SiteJson = {
        "format": FORMAT,
        "schema_version": SCHEMA,
        "zoo": __version__,
        "revision": source.revision,
        "pull": source.url,
        "columns": [*IN_ROWS],
        "shown": {key: _column(key) for key in KEYS},
        "boards": boards,
        "devices": devices,
        "tables": [table(group) for group in comparison.groups],
        "releases": [_release(entry) for entry in source.entries],
        "estimated": comparison.estimated,
        "emulated": comparison.emulated,
        "pending": [{key: row[key] for key in ("model", "target", "kind")} for row in comparison.pending],
        "broken": comparison.broken,
        "damaged": dict(source.damaged),
    }
    return document, comparison


def _settings(protocol: Mapping[str, Any]) -> str:
    """What sets a table apart from others of its board and device, in words."""
    threads = protocol["threads"]
    batches = dict.fromkeys((protocol["batch"], protocol["throughput_batch"]))
    words = [str(protocol["unit"]), f"{threads} thread{'s' * (threads != 1)}", *[str(protocol["power_mode"] or "")]]
    return ", ".join(filter(None, [*words, f"batch {' and '.join(map(str, batches))}"]))


def _boards(groups: Sequence[Group], entries: Sequence[Entry]) -> list[BoardJson]:
    """Boards, those with most rows first."""
    pages = {entry.release.manifest.data.fingerprint: entry.release.manifest.data.name for entry in entries}
    rows: dict[tuple[Any, ...], list[Row]] = {}
    for group in groups:
        rows.setdefault(tuple(group.protocol[key] for key in ACCURACY), []).extend(group.rows)

    def board(key: tuple[Any, ...]) -> BoardJson:
        data, protocol, queries, gallery = key
        name = next((row["dataset"] for row in rows[key] if row["dataset"]), None)
        page = data_page(pages[data], data) if data in pages else None
        found = {"dataset": name, "data": data, "protocol": protocol, "queries": queries, "gallery": gallery}
        return {"id": slug(name or "times only", *key), "page": page, **found}  # type: ignore[typeddict-item]

    return [board(key) for key in sorted(rows, key=lambda key: (key[1] is None, -len(rows[key]), repr(key)))]


def _devices(rows: Sequence[Row]) -> list[DeviceJson]:
    """Machines, the most used first: by releases, then by measurements."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in MACHINE), []).append(row)

    def device(key: tuple[Any, ...]) -> DeviceJson:
        name, architecture, cores = key
        releases = len({row["model"] for row in found[key]})
        page = device_page(found[key][0])
        return {
            "id": slug(*key), "name": name, "architecture": architecture, "cores": cores, "releases": releases,
            "measurements": len(found[key]), "page": page,
        }  # fmt: skip

    listed = [device(key) for key in found]
    return sorted(listed, key=lambda one: (-one["releases"], -one["measurements"], one["name"], one["id"]))


def _release(entry: Entry) -> ReleaseJson:
    manifest = entry.release.manifest
    teacher = manifest.dense_cost
    return {
        "model": manifest.label,
        "page": release_page(manifest),
        "description": manifest.description,
        "dataset": manifest.data.name,
        "gate": gate_of(manifest),
        "dense": (teacher.parameters, teacher.macs),
        "yanked": entry.yanked,
        "signed": entry.signed,
    }
