"""ncnn on the CPU. Artifacts: model.ncnn.param, model.ncnn.bin, and model.json with what else loading them needs.

An artifact is the same on every board. ncnn computes one image at a time, so a batch takes as long as its images.
"""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import numpy as np

from targets.carried import library_version
from targets.contract import Job, Session, thread_count
from targets.errors import ArtifactFailed, first_line
from targets.files import sha256
from targets.ncnn.convert import PARAM, WEIGHTS, convert, pnnx_program
from targets.on_cpu import OnCpu
from targets.plain_graph import planes
from targets.settings import Precision

FACTS = "model.json"
INPUT, OUTPUT = "in0", "out0"  # pnnx's names


class Ncnn(OnCpu):
    """ncnn's CPU kernels: x86, ARM, RISC-V. Making artifacts needs pnnx and onnx, and not ncnn."""

    title: ClassVar[str] = "ncnn"
    distribution: ClassVar[str] = "ncnn"
    extra: ClassVar[str] = "ncnn"
    converters: ClassVar[tuple[str, ...]] = ("pnnx", "onnx")
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    arm64: ClassVar[bool] = True

    def start(self) -> None:
        """See `OnCpu.start`."""
        import ncnn  # noqa: F401 - only the import is tested

    def has(self, package: str) -> bool:
        """See `OnCpu.has`. Of pnnx only its program is needed."""
        return pnnx_program() is not None if package == "pnnx" else super().has(package)

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. The artifact takes any batch, and images of the job's size only."""
        self.check_compiler()
        made = convert(graph, folder, job.height, job.width)
        facts = {
            "half": made.half,
            "height": job.height,
            "width": job.width,
            "pnnx": library_version("pnnx"),
            "sha256": {name: sha256(folder / name) for name in (PARAM, WEIGHTS)},
        }
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
        try:
            self.start()
        except (ImportError, RuntimeError, OSError):  # it is made for another machine
            return
        length = self.load(folder).embed(np.zeros((1, job.height, job.width, 3), np.uint8)).shape[1]
        if made.length and length != made.length:  # pnnx may mistake an axis for another
            (folder / FACTS).unlink()
            why = f"it gives {length} numbers for an image, not {made.length}"
            raise ArtifactFailed(f"ncnn can't run {graph.name}: {why}")

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it has no cache
        """See `Target.load`. Files that differ from what `compile` wrote are refused before ncnn reads them."""
        try:
            facts = json.loads((folder / FACTS).read_bytes())
            half, size = facts["half"], (int(facts["height"]), int(facts["width"]))
            damaged = [name for name in (PARAM, WEIGHTS) if sha256(folder / name) != facts["sha256"][name]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactFailed(f"ncnn can't load {folder / FACTS}: {first_line(error)}") from None
        if damaged:
            raise ArtifactFailed(f"ncnn can't load {folder / damaged[0]}: it is damaged, its sha256 is another one")
        return _Session(folder, bool(half), size, thread_count(self.settings))


class _Session:
    def __init__(self, folder: Path, half: bool, size: tuple[int, int], threads: int) -> None:
        import ncnn

        self._ncnn, self._size = ncnn, size
        self._net = net = ncnn.Net()
        option = net.opt
        option.num_threads = threads
        option.use_vulkan_compute = False
        # In the graph's precision: by default ncnn stores and computes in fp16 or bf16 where the CPU has it.
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(option, name, half)
        option.use_bf16_storage = False
        # ncnn's 4×4 Winograd kernels need weights of 6 bits, else their sums can overflow.
        option.use_winograd43_convolution = not _in_int8(folder / PARAM)
        if net.load_param(str(folder / PARAM)) or net.load_model(str(folder / WEIGHTS)):
            raise ArtifactFailed(f"ncnn can't load {folder / PARAM}: this ncnn does not know its layers")
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        """See `Session.embed`."""
        if images.shape[1:3] != self._size:
            raise ArtifactFailed(
                f"this artifact of ncnn takes images of {self._size[0]}×{self._size[1]}, not "
                f"{'×'.join(map(str, images.shape[1:3]))}"
            )
        rows, spent = [], 0.0
        for plane in planes(images):
            begun = perf_counter()
            extractor = self._net.create_extractor()
            # A copy in ncnn's own memory: its layers that work in place crash on memory of others (ncnn 20261020).
            extractor.input(INPUT, self._ncnn.Mat(plane).clone())
            code, found = extractor.extract(OUTPUT)
            spent += perf_counter() - begun
            if code:
                raise ArtifactFailed(f"ncnn can't run: its code is {code}. It may lack memory.")
            rows.append(np.array(found, np.float32).reshape(-1))
        self.compute_ms = 1000 * spent
        return np.stack(rows)


def _in_int8(param: Path) -> bool:
    return any(" 8=" in line and line.split()[0] in ("Convolution", "ConvolutionDepthWise", "InnerProduct")
               for line in param.read_text().splitlines()[2:])  # fmt: skip
