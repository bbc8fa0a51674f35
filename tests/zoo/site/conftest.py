"""A real Chromium, and sites to open in it: from a folder, and over HTTP."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from filelock import FileLock

from pipeline.progress import Silent
from tests.zoo.site.example import example
from tests.zoo.site.extremes import large
from zoo.site.build import build
from zoo.site.source import Source

NAMES = ("chromium", "chromium-browser", "google-chrome")
NEEDED = "REQUIRE_CHROMIUM"  # environment variable: fail where there is no browser, instead of skipping


def _absent(why: str) -> None:
    if os.environ.get(NEEDED):
        pytest.fail(f"{NEEDED} is set, but {why}")
    pytest.skip(why)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """Chromium of this machine: Debian's, or another one under a usual name. Playwright would download its own.

    Not longer than this folder's tests: while Playwright runs, `asyncio.run` fails in the same process.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed: pip install -e '.[dev]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _absent("there is no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which Chromium refuses to root
        browser = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield browser
        browser.close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Watched:
    """A page, what it requested, and what it complained about."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1366, "height": 900}, **options})
        self.context.set_default_timeout(5000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda told: told.type in ("error", "warning") and self.complaints.append(told.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def check(self, url: str) -> None:
        """It requested nothing from elsewhere and complained about nothing."""
        origin = "file://" if url.startswith("file:") else "/".join(url.split("/")[:3])
        own = (f"{origin}/", "data:", "blob:")
        assert [one for one in self.requests if not one.startswith(own)] == []
        assert self.complaints == []


@contextmanager
def watching(browser: Any, url: str, **options: Any) -> Iterator[Watched]:
    """A page while it is open; checked when it is closed."""
    watched = Watched(browser, **options)
    watched.page.goto(url)
    yield watched
    watched.context.close()
    watched.check(url)


@pytest.fixture
def watch(chromium: Any) -> Iterator[Any]:
    """`watch(url, **options)` opens a page. It must request nothing from elsewhere and complain about nothing."""
    with ExitStack() as opened:
        yield lambda url, **options: opened.enter_context(watching(chromium, url, **options))


def kept(factory: pytest.TempPathFactory, name: str, make: Any) -> Path:
    """A site that all processes of a run share."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    out = root / f"site-{name}"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("targets.measuring.conditions.BUSY_CORES", 0.1)  # which other tests raise
                source: Source = make()
                build(source, out, True, Silent())
    return out


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `example()`, in a folder."""
    graph = tmp_path_factory.mktemp("graph") / "model.onnx"
    return kept(tmp_path_factory, "example", lambda: example(graph))


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of 640 models in one table, each in three precisions."""
    return kept(tmp_path_factory, "crowd", lambda: large(3 * 640))


@pytest.fixture(scope="session")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of 5 000 measurements in one table."""
    return kept(tmp_path_factory, "large", large)


@pytest.fixture(scope="session")
def served() -> Iterator[Any]:
    """`served(folder)` is the address of a folder that is served over HTTP."""
    servers: dict[Path, ThreadingHTTPServer] = {}

    def serve(folder: Path) -> str:
        if folder not in servers:
            server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            servers[folder] = server
        return f"http://127.0.0.1:{servers[folder].server_port}"

    yield serve
    for server in servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture
def board(shop: Path, served: Any, watch: Any) -> Any:
    """The board of `example()`, over HTTP."""
    return watch(f"{served(shop)}/index.html").page
