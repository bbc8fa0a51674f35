"""The folder that `zoo site` writes: equal bytes, all or nothing, only own files, everything linked."""

import hashlib
import html
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.zoo.records import a_calibration, measurement, pending, release
from tests.zoo.site.example import example
from tests.zoo.site.sources import RECIPE, entry, source
from zoo.errors import OutputError, SiteError
from zoo.site import build as building
from zoo.site.build import build, check_out
from zoo.site.data import IN_ROWS, gate_of, site_data
from zoo.site.names import release_page, slug
from zoo.site.source import Source
from zoo.site.vendor import FOLDER, LARGEST, listed
from zoo.tables import compare
from zoo.tables.protocol import ACCURACY


def small() -> Source:
    return source(release("one", records=[measurement(), pending()], recipe=RECIPE), release("two"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_builds_are_equal_byte_by_byte(shop, tmp_path):
    graph = tmp_path / "model.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        patch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)
        build(example(graph), tmp_path / "again", True, Silent())
    time.tzset()
    assert contents(tmp_path / "again") == contents(shop)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, _tag, attrs):
        told = dict(attrs)
        self.found += [told[key] for key in ("href", "src") if told.get(key)]
        assert "style" not in told, "the policy forbids it"
        assert told.get("id") not in self.ids or told.get("id") is None
        self.ids.add(told.get("id"))


def test_every_link_leads_to_a_file_of_the_site(shop):
    pages = list(shop.rglob("*.html"))
    assert len(pages) > 15
    reached = set()
    for page in pages:
        links = Links()
        links.feed(page.read_text())
        for link in links.found:
            path, _, part = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), (page, link)
            assert not part or part in links.ids or path, (page, link)
            reached.add(target)
    assert {one.resolve() for one in pages} <= reached


def test_a_table_of_the_data_is_a_table_of_zoo_compare():
    given = example()
    document, _ = site_data(given)
    groups = compare([one.release for one in given.entries]).groups
    assert len(document["tables"]) == len(groups)
    for table, group in zip(document["tables"], groups, strict=True):
        assert table["best"] == group.best
        assert table["protocol"] == group.protocol
        board = document["boards"][table["board"]]
        assert {key: board.get(key) for key in ACCURACY} == {key: group.protocol[key] for key in ACCURACY}
        rows = [dict(zip(IN_ROWS, values, strict=True)) for values in table["rows"]]
        shared = [key for key in IN_ROWS if key in group.rows[0]]
        assert [[row[key] for key in shared] for row in rows] == [[row[key] for key in shared] for row in group.rows]
    assert document["devices"][0]["name"] == "AMD EPYC"


def test_the_data_for_pages_is_the_data_for_machines(shop):
    script = (shop / "data.js").read_text()
    inside = re.fullmatch(r"globalThis\.zooData = JSON\.parse\('(.*)'\);\n", script)[1]
    assert re.sub(r"\\(.)", r"\1", inside) == (shop / "data.json").read_text().rstrip("\n")
    data = json.loads((shop / "data.json").read_text())
    assert data["format"] == "zoo site"
    assert "bundle" not in data["pending"][0]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"calibrate": None},
        {"calibrate": {}},
        {"calibrate": {"max_map_drop_points": "1"}},
        {"calibrate": {"max_map_drop_points": True}},
        {"calibrate": {"max_map_drop_points": -1}},
    ],
)
def test_a_gate_that_is_not_told_colours_nothing(values):
    assert gate_of(release(recipe=values).manifest) is None
    assert gate_of(release(recipe=RECIPE).manifest) == 0.5


def test_names_of_pages_are_safe_and_apart():
    names = ["", "a", "A", "a ", "ä", "../x", "x" * 500, "x" * 501, "<b>", "\udcff", "con", "a/b", "a\\b", "a-b"]
    slugs = [slug(name) for name in names]
    assert len({one.lower() for one in slugs}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", one) for one in slugs)
    upper, lower = (release_page(release(name).manifest) for name in ("Net", "net"))
    assert upper.lower() != lower.lower()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(SiteError, match="holds something else than a site of zoo"):
        build(small(), tmp_path / "thesis", False, Silent())
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file or a link"):
        build(small(), tmp_path / "file", False, Silent())
    with pytest.raises(OutputError, match="does not exist"):
        check_out(tmp_path / "no" / "site")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis"]
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_an_older_site_is_replaced_whole_or_stays(tmp_path, monkeypatch):
    out = tmp_path / "site"
    build(small(), out, False, Silent())
    (out / "release" / "old@1.0.0.html").write_text("gone")
    build(small(), out, False, Silent())
    assert not (out / "release" / "old@1.0.0.html").exists()
    before = contents(out)

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "site_data", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Free some space"):
        build(source(release("three")), out, False, Silent())
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_site_of_nothing_says_so(tmp_path, watch):
    build(source(), tmp_path / "site", True, Silent())
    page = watch(f"{(tmp_path / 'site').as_uri()}/index.html").page
    assert "Nothing was measured yet." in page.locator("main").inner_text()


def test_without_jinja_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "find_spec", lambda _name: None)
    with pytest.raises(SiteError, match=r"jinja2.*pip install .*\[site\]"):
        check_out(tmp_path / "site")


def test_signatures_and_withdrawals_are_told(tmp_path):
    entries = [
        entry(release("a"), "trusted"), entry(release("b"), "unsigned"), entry(release("c"), "unchecked"),
        entry(release("d"), "unpublished", yanked="wrong data"),
    ]  # fmt: skip
    build(source(*entries, damaged={"e@1.0.0": "its manifest is damaged"}), tmp_path / "site", False, Silent())
    pages = {name: (tmp_path / "site" / "release" / f"{name}@1.0.0.html").read_text() for name in "abcd"}
    assert "signed by team.pub" in pages["a"]
    assert "Nobody signed" in pages["b"]
    assert "so nothing was checked" in pages["c"]
    assert "not published" in pages["d"]
    assert "zoo pull d@1.0.0" not in pages["d"]
    assert "Its owner withdrew this version: wrong data" in pages["d"]
    assert "Not shown: e@1.0.0: its manifest is damaged" in (tmp_path / "site" / "index.html").read_text()


def test_a_release_says_how_to_measure_it_on_another_machine(shop):
    page = (shop / "release" / "resnet18-cars@1.0.0.html").read_text()
    (commands,) = re.findall(r'<code id="bench">(.*?)</code>', page, re.DOTALL)
    assert html.unescape(commands).splitlines() == [
        "zoo pull resnet18-cars@1.0.0 --registry https://models.example.org/zoo",
        "zoo bench resnet18-cars@1.0.0 --export resnet18-cars.json --by 'your name'",
    ]
    assert "zoo receive resnet18-cars.json" in page


def test_tables_of_a_device_leave_out_what_they_do_not_know_and_what_is_equal_in_all_rows(shop):
    page = min(shop.glob("device/amd*.html")).read_text()
    headings = [re.findall(r"<th scope=.col.[^>]*>([^<]*)<", table) for table in page.split("<thead>")[1:]]
    assert not {"power mode", "governors", "CPU MHz before → after"} & {*headings[-1]}
    assert {"release", "state", "threads", "other work, cores"} <= {*headings[-1]}
    assert all({"model", "target", "mAP %", "p50 ms"} <= {*found} for found in headings[:-1])
    assert not any({"network", "ships", "parameters M"} & {*found} for found in headings)


def test_no_contact_sheet_without_a_graph(tmp_path, shop):
    build(small(), tmp_path / "site", True, Silent())
    assert "There is none: its graph was not there" in (tmp_path / "site" / "release" / "one@1.0.0.html").read_text()
    assert not (tmp_path / "site" / "samples").exists()
    sheet = (shop / "release" / "resnet10t-cars@1.0.0.html").read_text()
    assert sheet.count("<figcaption>query</figcaption>") == 3
    assert len(list((shop / "samples").iterdir())) == 24


def test_libraries_are_those_that_are_listed():
    kept = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix != ".json"}
    told = {entry["as"]: entry for library in listed() for entry in library["files"].values()}
    assert told.keys() == kept.keys()
    for name, content in kept.items():
        assert hashlib.sha256(content).hexdigest() == told[name]["sha256"], f"{name}: run make vendor"
        assert len(content) == told[name]["size_bytes"]
    for library in listed():
        assert library["license"] in ("ISC", "MIT", "Apache-2.0", "BSD-3-Clause")
        assert any("LICENSE" in entry["as"] for entry in library["files"].values())
    assert sum(map(len, kept.values())) < LARGEST


def test_scripts_are_strict_and_ask_for_nothing_from_elsewhere():
    scripts = sorted(FOLDER.parent.glob("*.js"))
    assert len(scripts) > 10
    for path in scripts:
        text = path.read_text()
        assert '"use strict";' in text
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org)",
            text,
        ), path


def test_the_page_of_a_release_has_both_cosines_of_a_calibration(tmp_path):
    build(source(release(calibrations=[a_calibration()])), tmp_path / "site", False, Silent())
    (page,) = (tmp_path / "site/release").glob("*.html")
    text = page.read_text()
    assert "smallest cosine" in text
    assert "0.99000" in text
    assert "0.90000" in text
