"""Every relative link of every page leads to a file, and every anchor to a heading."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

TOP = Path(__file__).parents[1]
PARSER = MarkdownIt("commonmark").enable("table")
PAGES = sorted({*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *(TOP / "tests").rglob("*.md")})


def tokens(path: Path) -> Iterator[Token]:
    for token in PARSER.parse(path.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(path: Path) -> list[str]:
    """Targets of links and pictures that are within the repository."""
    found = [token.attrGet("href") or token.attrGet("src") for token in tokens(path)]
    return [str(link) for link in found if link and not re.match(r"[a-z]+:", str(link))]


def anchors(path: Path) -> set[str]:
    """Of headings, as GitHub names them."""
    found: dict[str, int] = {}
    parsed = PARSER.parse(path.read_text(encoding="utf-8"))
    for opening, content in pairwise(parsed):
        if opening.type == "heading_open":
            text = "".join(child.content for child in content.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{number}" if number else slug for slug, count in found.items() for number in range(count + 1)}


def test_pages_are_found():
    assert {"README.md", "docs/README.md", "docs/extending/target.md", "tests/README.md"} <= {
        path.relative_to(TOP).as_posix() for path in PAGES
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_links_lead_somewhere(page: Path):
    for link in links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(TOP), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_the_documentation_can_be_reached_from_the_readme():
    reached, waiting = set(), [TOP / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            linked = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
            waiting += [path for path in linked if path.suffix == ".md"]
    assert {page for page in PAGES if TOP / "tests" not in page.parents} <= reached


def test_a_broken_link_and_a_broken_anchor_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n\n## One `zoo x`, two\n\n# One\n\n[a](b.md#c) ![d](e.png) `[f](g)` [h](https://i)\n\n```\n[j](k)\n```\n"
    )
    assert links(page) == ["b.md#c", "e.png"]
    assert anchors(page) == {"one", "one-1", "one-zoo-x-two"}
