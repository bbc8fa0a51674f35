"""Writes the site into a folder: the whole of it, or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.progress import Progress
from targets.browser.files import copy_runtime
from targets.installing import install_command
from zoo.errors import RegistryError, SiteError
from zoo.layout import GRAPH
from zoo.output_folder import check_folder, fresh_folder
from zoo.sanitize import finite
from zoo.site.cells import beside_table, measured_table
from zoo.site.data import FORMAT, SiteJson, site_data
from zoo.site.facts import release_facts
from zoo.site.names import release_page
from zoo.site.overview import data_facts, data_list, device_facts, device_list, release_list
from zoo.site.pages import page
from zoo.site.samples import SAMPLES, Answer, contact_sheet, png
from zoo.site.source import Entry, Source
from zoo.site.trial import LARGEST, input_size, trial_of
from zoo.tables.comparison import Comparison

STATIC = Path(__file__).parent / "static"
DATA = "data.json"  # for machines; data.js holds the same for pages, since `fetch` fails on file://
PANEL = "static/try/panel.js"
BOARD_SCRIPTS = (
    "static/vendor/d3.min.js", "static/vendor/table-core.js", "data.js",
    *(f"static/{name}.js" for name in (
        "text", "model", "filter", "pareto", "difference", "export", "state", "choice", "marks", "plot", "table",
        "controls", "compare", "panels", "board",
    )),
)  # fmt: skip
RELEASE_SCRIPTS = ("static/text.js", "static/release.js")


@dataclass(frozen=True)
class Built:
    """What was written."""

    pages: int
    releases: int
    measurements: int
    files: int
    size_bytes: int


def check_out(out: Path) -> None:
    """Check, before the work, that a site can be written to a folder.

    Raises:
        SiteError: it has something else in it, or a library is missing.
        OutputError: it can't be written.
    """
    if find_spec("jinja2") is None:
        raise SiteError(f"a site needs jinja2, which is not installed. Run: {install_command('site')}")
    if check_folder(out) and not _is_site(out):
        raise SiteError(f"{out} holds something else than a site of zoo, which would be lost. Name another folder.")


def _is_site(folder: Path) -> bool:
    try:
        with (folder / DATA).open(encoding="utf-8") as file:
            return file.read(len(FORMAT) + 16).startswith(f'{{"format": "{FORMAT}"')
    except (OSError, ValueError):
        return False


def build(source: Source, out: Path, models: bool, progress: Progress) -> Built:
    """Write the site of some releases to a folder. Equal releases give equal bytes.

    Args:
        models: include graphs, for contact sheets and the panel that runs them.

    Raises:
        SiteError, OutputError: see `check_out`; or the disk is full.
    """
    check_out(out)
    with fresh_folder(out, replace=True) as fresh:
        return _fill(fresh, source, models, progress)


def _fill(folder: Path, source: Source, models: bool, progress: Progress) -> Built:
    document, comparison = site_data(source)
    count = 0
    files = _documents(document, comparison, source, models, progress)
    for path, content in files:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
        count += path.endswith(".html")
    shutil.copytree(STATIC, folder / "static")
    if (folder / "models").is_dir():
        copy_runtime((folder / PANEL).parent)
    written = [path for path in folder.rglob("*") if path.is_file()]
    rows = sum(len(table["rows"]) for table in document["tables"])
    sizes = sum(path.stat().st_size for path in written)
    return Built(count, len(source.entries), rows, len(written), sizes)


def _documents(
    document: SiteJson, comparison: Comparison, source: Source, models: bool, progress: Progress
) -> Iterator[tuple[str, str | bytes]]:
    """Paths and content of everything but static files."""
    text = json.dumps(finite(document), allow_nan=False)
    yield DATA, text + "\n"
    yield "data.js", as_script(text)
    links = {one["model"]: one["page"] for one in document["releases"]}
    gates = {one["model"]: one["gate"] for one in document["releases"]}
    about = {"site": document, "damaged": [*document["damaged"].items()]}
    tables = [measured_table(group, gates, links.get) for group in comparison.groups]
    named = list(zip(document["tables"], tables, strict=True))
    boards = [
        (board, [table for told, table in named if told["board"] == at]) for at, board in enumerate(document["boards"])
    ]
    values = {"boards": boards, "beside": beside_table(comparison, links.get), "apart": comparison.apart}
    yield "index.html", page("board.html", "", {**about, **values}, scripts=BOARD_SCRIPTS)
    lists = {"releases": release_list(source, document), "devices": device_list(document), "data": data_list(document)}
    for name, listed in lists.items():
        yield f"{name}.html", page("list.html", "", {**about, **listed})
    releases = [entry.release for entry in source.entries]
    for path, device in device_facts(comparison, releases, links).items():
        yield path, page("device.html", "../", {**about, "device": device})
    for path, data in data_facts(source.entries, comparison.rows, links).items():
        ids = [one["id"] for one in document["boards"] if one["data"] == data.fingerprint]
        yield path, page("data.html", "../", {**about, "data": data, "ids": ids})
    yield from _release_pages(document, source, models, progress)


def as_script(text: str) -> str:
    """JSON as a script that pages load: a single text, which browsers parse faster than an object of JavaScript."""
    inside = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"globalThis.zooData = JSON.parse('{inside}');\n"


def _release_pages(
    document: SiteJson, source: Source, models: bool, progress: Progress
) -> Iterator[tuple[str, str | bytes]]:
    panel = (STATIC.parent / PANEL).is_file()
    given = set[str]()
    samples = [one.words for one in SAMPLES]
    with progress.bar("pages of releases", max(1, len(source.entries))) as bar:
        for entry in source.entries:
            sheet: list[Answer] | str = "this site was built without models"
            trial: Any = "this site was built without models"
            if models:
                sheet, trial = _sheet(entry), trial_of(entry, samples)
            settings = None
            if panel and not isinstance(trial, str):
                settings, files = trial
                yield from ((path, content) for path, content in files.items() if path not in given)
                given |= files.keys()
            if settings or not isinstance(sheet, str):
                yield from ((one.path, png(one)) for one in SAMPLES if one.path not in given)
                given |= {one.path for one in SAMPLES}
            values = {
                "site": document, "damaged": [], "it": release_facts(entry, document), "sheet": sheet,
                "panel": panel, "no_trial": trial if isinstance(trial, str) else "", "others": len(SAMPLES) - 1,
            }  # fmt: skip
            path = release_page(entry.release.manifest)
            yield path, page("release.html", "../", values, settings, scripts=RELEASE_SCRIPTS)
            bar.advance(1)


def _sheet(entry: Entry) -> list[Answer] | str:
    size = input_size(entry.release.manifest.recipe)
    if size is None:
        return "its recipe does not tell the size of its input"
    try:
        graph = entry.read(GRAPH, LARGEST)
    except RegistryError:
        graph = None
    return "its graph was not there when this page was built" if graph is None else contact_sheet(graph, size)
