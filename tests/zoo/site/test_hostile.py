"""Texts of strangers end as text: not as markup, script, link, formula or terminal escape."""

import csv
import io
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.progress import Silent
from tests.zoo.records import keep
from tests.zoo.site.extremes import hostile
from zoo.home import Home
from zoo.sanitize import printable
from zoo.site.build import build
from zoo.site.source import Source, from_home


@pytest.fixture(scope="module")
def texts() -> tuple[Source, list[str]]:
    return hostile()


@pytest.fixture(scope="module")
def read(texts, tmp_path_factory) -> Source:
    """The releases as they are read from files, with what only a registry says of them."""
    given, _ = texts
    home = tmp_path_factory.mktemp("home")
    keep(home, *(entry.release for entry in given.entries))
    found = from_home(Home(home))
    assert not found.damaged
    entries = [
        replace(one, signed="unsigned", yanked=printable(str(other.yanked)))  # as the index is read
        for one, other in zip(found.entries, given.entries, strict=True)
    ]
    return Source(entries, given.damaged, given.revision, given.url)


@pytest.fixture(scope="module")
def site(read, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hostile") / "site"
    build(read, out, True, Silent())
    return out


def test_two_hundred_texts_are_on_the_pages(texts, site):
    _, given = texts
    assert len(given) >= 200
    told = "".join(path.read_text() for path in site.rglob("*.html")) + (site / "data.json").read_text()
    assert len(set(re.findall(r"#(\d+)#", told))) >= 200


def pages(site: Path) -> list[Path]:
    return [*sorted(site.glob("*.html")), *sorted(site.glob("*/*.html"))]


def test_no_page_has_markup_of_theirs(site, chromium):
    """As a browser parses the pages, without loading them."""
    page = chromium.new_page()
    assert len(pages(site)) == 4 + 3 * 10
    for path in pages(site):
        assert page.evaluate(PARSED, path.read_text()) == {"foreign": [], "handlers": 0, "scripts": [], "links": []}, (
            path
        )
    page.close()


PARSED = """(text) => {
  const page = new DOMParser().parseFromString(text, "text/html");
  const all = (kinds) => [...page.querySelectorAll(kinds)];
  const foreign = "iframe, object, embed, base, style, form[action], math, meta[http-equiv=refresh], image";
  const handled = (one) => [...one.attributes].some((name) => name.name.startsWith("on"));
  const scripts = all("script").filter((one) => one.type !== "application/json");
  const own = /^(\\.\\.\\/)?[\\w./@-]*(#[\\w=-]*)?$/;
  const links = all("[href], [src]").map((one) => one.getAttribute("href") ?? one.getAttribute("src"));
  return {
    foreign: all(foreign).map((one) => one.outerHTML),
    handlers: all("*").filter(handled).length,
    scripts: scripts.filter((one) => one.textContent || !one.src).map((one) => one.outerHTML),
    links: links.filter((one) => !own.test(one)),
  };
}"""


def test_nothing_of_theirs_runs_on_a_page(site, watch):
    watched = watch((site / "index.html").as_uri())
    for kind in ("*.html", "release/*.html", "device/*.html", "data/*.html"):
        watched.page.goto(max(site.glob(kind)).as_uri())
        assert watched.page.evaluate(FACTS) == {
            "hit": "undefined",
            "foreign": [],
            "links": [],
            "handlers": 0,
            "scripts": True,
        }


FACTS = """() => {
  const all = (kinds) => [...document.querySelectorAll(kinds)];
  const foreign = "iframe, object, embed, base, style, form[action], math, meta[http-equiv=refresh], image";
  const links = all("[href], [src]").map((one) => one.href?.baseVal ?? one.href ?? one.src);
  const handled = (one) => [...one.attributes].some((name) => name.name.startsWith("on"));
  const own = (one) => one.src.startsWith("file://") && one.textContent === "";
  return {
    hit: typeof globalThis.hit,
    foreign: all(foreign).map((one) => one.outerHTML),
    links: links.filter((one) => !one.startsWith("file://") && !one.startsWith("data:")),
    handlers: all("*").filter(handled).length,
    scripts: [...document.scripts].every((one) => (one.src ? own(one) : one.type === "application/json")),
  };
}"""


def test_nor_has_the_board_after_every_action(site, watch):
    page = watch((site / "index.html").as_uri()).page
    for at in range(0, page.locator("#device option").count(), 4):
        page.select_option("#device", index=at)
        page.locator(".figures").first.click()
        page.locator("td.model input").first.check()
        page.hover("#plot svg", position={"x": 300, "y": 150})
        page.locator("#plot svg").focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate(FACTS) == {"hit": "undefined", "foreign": [], "links": [], "handlers": 0, "scripts": True}
        page.get_by_role("button", name="Clear").click()
        command = page.locator("#query").inner_text()
        assert "\n" not in command
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    for row in csv.reader(io.StringIO(download.value.path().read_text())):
        assert not [cell for cell in row if cell[:1] in ("=", "+", "-", "@")]


def test_a_shell_takes_the_command_as_one_query(site, watch):
    page = watch((site / "index.html").as_uri()).page
    for at in range(page.locator("#device option").count()):
        page.select_option("#device", index=at)
        told, query = page.evaluate(COMMAND)
        words = subprocess.run(
            ["sh", "-c", f"zoo() {{ printf '%s\\0' \"$@\"; }}; {told}"], capture_output=True, check=True, text=True
        ).stdout.split("\0")
        assert words[:2] == ["search", query]


COMMAND = """() => {
  const state = { map: 1, ms: null, mb: null, precision: [], target: [], ships: false, name: "", sort: "map" };
  const device = document.querySelector("#device").value;
  const made = Zoo.command(state, zooData.tables.find((one) => zooData.devices[one.device].id === device));
  return [made.text, made.query];
}"""


def test_files_have_names_of_ours(site):
    for path in site.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._@-]+", path.name), path


def test_data_is_plain_json_without_control_characters(site):
    text = (site / "data.json").read_text()
    assert text.isascii()
    assert not re.search(r"\\u00[01]", text.replace("\\n", "").replace("\\t", ""))
    json.loads(text)


def test_a_refusal_shows_no_escape_sequence(tmp_path, texts):
    from click.testing import CliRunner

    from zoo.cli import main

    given, _ = texts
    keep(tmp_path / "home", given.entries[0].release)
    manifest = next((tmp_path / "home").rglob("manifest.json"))
    manifest.write_text(
        manifest.read_text().replace('"schema_version":3', '"schema_version":3,"\\u001b]8;;x\\u0007":1')
    )
    result = CliRunner().invoke(main, ["site", str(tmp_path / "out")], env={"ZOO_HOME": str(tmp_path / "home")})
    assert "\x1b" not in result.output + result.stderr
    assert "not shown: hostile-0@1.0.0" in result.stderr
    assert (
        "not valid" in (tmp_path / "out" / "index.html").read_text()
        or "damaged" in (tmp_path / "out" / "index.html").read_text()
    )
