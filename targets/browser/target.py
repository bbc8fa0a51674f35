"""ONNX Runtime Web in a headless Chromium: WebAssembly on the CPU. Artifact: model.onnx, unchanged.

Arrays go to the page and back by way of a server on the loopback interface, which no application in a browser does.
So the page times each call itself, from the uint8 array in its memory to the embeddings in its memory.
"""

from __future__ import annotations

import os
import shutil
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from targets.browser import chromium
from targets.browser.page import Told, reserve
from targets.contract import Job, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable
from targets.onnxruntime import ARTIFACT, ONE_NODE
from targets.settings import Activations, Precision, TargetSettings, read_options


@dataclass(frozen=True)
class Options:
    """ONNX Runtime Web has no options here."""


class OnnxRuntimeWeb:
    """ONNX Runtime Web's WebAssembly kernels."""

    distribution: ClassVar[str] = "onnxruntime-web"  # on npm; this package carries it
    extra: ClassVar[str] = "onnxruntime-web"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    activations: ClassVar[Activations] = "asymmetric"
    compiles_ahead: ClassVar[bool] = False
    gpu_bus_id: ClassVar[str | None] = None  # WebAssembly computes on the CPU

    def __init__(self, settings: TargetSettings) -> None:
        read_options(Options, settings)
        self.settings = settings

    @property
    def environment(self) -> str:
        """See `targets.contract.describe_runtime`."""
        return _try_browser(chromium.find())

    def check(self) -> str:
        """See `Target.check`. Starts the browser, since it may refuse to, and runs a graph of one node in it."""
        if self.settings.device != "CPU":
            raise Unusable(
                f"ONNX Runtime Web runs on CPU here, not on {self.settings.device}", "Set `device: CPU` in the target."
            )
        return f"ONNX Runtime Web {runtime_version(self)} in {self.environment}"

    def check_compiler(self) -> str:
        """See `Target.check_compiler`."""
        return self.check()

    def compile(self, graph: Path, folder: Path, job: Job) -> None:  # noqa: ARG002 - takes any batch
        """See `Target.compile`. The graph is the artifact; the runtime optimises it when it loads."""
        shutil.copyfile(graph, folder / ARTIFACT)
        self.load(folder)

    def load(self, folder: Path, cache: Path | None = None) -> PageSession:  # noqa: ARG002 - it has no cache
        """See `Target.load`."""
        try:
            return PageSession((folder / ARTIFACT).read_bytes(), thread_count(self.settings))
        except (ArtifactFailed, OSError) as error:
            raise ArtifactFailed(f"ONNX Runtime Web can't load {folder / ARTIFACT}: {error}") from None


def _try_browser(program: Path) -> str:
    """The browser with what bears on speed, in words, after a graph of one node ran in it.

    Raises:
        Unusable: it does not start, or does not run WebAssembly with threads.
    """
    return _tried(program, program.stat().st_mtime_ns, os.getpid())


@cache
def _tried(_program: Path, _changed_at: int, _process: int) -> str:
    told = Told("the browser", False, 0)
    try:
        told = PageSession(ONE_NODE, 1).told
        if not told.isolated:
            raise ArtifactFailed("it does not isolate the page, so there are no threads")
    except ArtifactFailed as error:
        raise Unusable(f"{told.browser} can't run ONNX Runtime Web: {error}", f"Update it. {chromium.MEND}") from None
    return f"{told.browser}: WebAssembly with SIMD, cross-origin isolated, clock of {told.clock_us} µs"


class PageSession:
    """A network in the page. `process` and `call_ms`: see `targets.contract.ProcessSession`."""

    def __init__(self, model: bytes, threads: int) -> None:
        self._page, self._network = reserve()
        weakref.finalize(self, self._page.drop, self._network).atexit = False
        self._page.load(self._network, model, threads)
        self.process, self.told = self._page.process, self._page.told
        self.call_ms = 0.0
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        """See `Session.embed`."""
        try:
            rows, self.call_ms, self.compute_ms = self._page.embed(self._network, images)
        except ArtifactFailed as error:
            given = "×".join(map(str, images.shape))
            raise ArtifactFailed(f"ONNX Runtime Web can't run on {images.dtype} {given}: {error}") from None
        return rows
