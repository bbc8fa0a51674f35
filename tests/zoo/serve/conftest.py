"""A release of a small network without training, and real servers of it on loopback."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from tests.zoo.records import a_manifest, an_artifact
from tests.zoo.serve.client import Client
from tests.zoo.shelf import SIZE, fill
from zoo.layout import MANIFEST
from zoo.serve.access import Log, silent
from zoo.serve.limits import Limits
from zoo.serve.run import listen, serve, url_of
from zoo.use.embedder import Embedder

RECIPE = {"seed": 0, "input": {"height": SIZE.height, "width": SIZE.width}, "measure": {"batches": [1, 8]}}
Start = Callable[..., Client]


def picture(seed: int, size: tuple[int, int] = (40, 30), form: str = "PNG", **more: Any) -> bytes:
    """The file of an image of random pixels."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **more)
    return content.getvalue()


@pytest.fixture(scope="package")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a release; read-only."""
    folder = tmp_path_factory.mktemp("served")
    manifest = fill(folder, a_manifest(recipe=RECIPE, artifacts=[an_artifact()], calibrations=[]))
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


@pytest.fixture(scope="package")
def model(released: Path) -> Embedder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(released / "cache"))
        return zoo.load(released, "onnxruntime")


@contextmanager
def serving(model: Embedder, log: Log = silent, **limits: Any) -> Iterator[Client]:
    """A server in a thread."""
    sockets, running, stop = listen("127.0.0.1", 0), Event(), []

    def started(end: Callable[[], None]) -> None:
        stop.append(end)
        running.set()

    thread = Thread(target=serve, args=(model, sockets, Limits(**limits), log, started))
    thread.start()
    assert running.wait(30)
    try:
        yield Client(url_of("127.0.0.1", sockets))
    finally:
        stop[0]()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def server(model: Embedder) -> Iterator[Client]:
    """A server with the default limits."""
    with serving(model) as client:
        yield client


@pytest.fixture
def start(model: Embedder) -> Iterator[Start]:
    """Starts a server with other limits, or of another model."""
    with ExitStack() as running:
        yield lambda other=model, log=silent, **limits: running.enter_context(serving(other, log, **limits))
