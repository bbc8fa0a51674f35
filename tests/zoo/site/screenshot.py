"""`python -m tests.zoo.site.screenshot FILE.png [REGISTRY]`: the board of a registry, as README shows it.

Without a registry, of `tests.zoo.site.example`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.progress import Silent
from tests.zoo.site.conftest import NAMES
from tests.zoo.site.example import example
from zoo.home import Home
from zoo.registry.cache import Cache
from zoo.registry.places.by_url import open_place
from zoo.registry.reader import Registry
from zoo.site.build import build
from zoo.site.source import from_registry

WIDTH, HEIGHT = 1280, 960


def picture(browser: Any, site: Path) -> bytes:
    """The board, as it opens, as PNG."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page.goto(f"{site.as_uri()}/index.html")
    page.wait_for_selector("#table tbody tr")
    content: bytes = page.screenshot()
    page.close()
    return content


def smaller(content: bytes) -> bytes:
    """A PNG with at most 48 colours: a quarter of the size, and hardly a difference to see."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


def main(file: Path, registry: str | None = None) -> None:
    """Build the site in a temporary folder, and write the picture."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        sys.exit("Error: there is no Chromium here. Install it: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source = example()
        if registry:
            reader = Registry([open_place(registry)], Cache(Home(Path(folder, "home")).cache))
            source = from_registry(reader, Silent())
        build(source, Path(folder, "site"), False, Silent())
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] * (os.geteuid() == 0))
        file.write_bytes(smaller(picture(browser, Path(folder, "site"))))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
