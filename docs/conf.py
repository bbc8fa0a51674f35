"""The documentation site (`make docs-site`): the same pages as in the repository, whose root is the source folder.

Links between pages are relative, so they work on the site as they do on GitHub. docs/README.md says in which order the
pages come.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
INDEX = "docs/README"

project = "zoo"
author = "The zoo contributors"
release = re.search(r'__version__ = "(.+)"', (TOP / "zoo" / "__init__.py").read_text())[1]  # type: ignore[index]
root_doc = "README"
include_patterns = ["*.md", "docs/**/*.md", "docs/*.md", "tests/README.md"]
exclude_patterns = [".*", "carried", "site"]  # not looked through
extensions = ["myst_parser"]
myst_heading_anchors = 4  # as GitHub names them
html_theme = "furo"
html_title = f"zoo {release}"
html_copy_source = False
highlight_language = "none"
suppress_warnings = ["toc.not_included"]  # pages of docs/results, which its own page links to


def _pages() -> str:
    """Hidden tables of contents, one for each heading of docs/README.md, with the pages that it links to."""
    text = (TOP / f"{INDEX}.md").read_text()
    parts = ["```{toctree}\n:hidden:\nOverview <" + INDEX + ">\n```"]
    for heading, content in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL):
        links = [f"docs/{link}" for link in re.findall(r"\]\(([^)]+)\.md\)", content)]
        pages = [link.replace("docs/../", "") for link in links]
        parts.append("```{toctree}\n:hidden:\n:caption: " + heading + "\n" + "\n".join(pages) + "\n```")
    return "\n\n".join(parts)


def _add_pages(_app: Any, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += f"\n\n{_pages()}\n"


def _add_front(app: Any, _error: Exception | None) -> None:
    (Path(app.outdir) / "index.html").write_text(f'<meta http-equiv="refresh" content="0; url={root_doc}/">\n')


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_pages)
    app.connect("build-finished", _add_front)
