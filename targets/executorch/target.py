"""ExecuTorch on the CPU, by XNNPACK. Artifact: model.pte, the same on every board.

Its Python package is for machines that have torch, too. An application in C++, Java or Swift loads the same file.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from targets.contract import Job, Session, runtime_version, thread_count
from targets.errors import ArtifactFailed, Unusable, first_line
from targets.files import sha256
from targets.notices import without_notices
from targets.on_cpu import OnCpu
from targets.settings import Precision

ARTIFACT, DIGEST = "model.pte", "model.sha256"


class ExecuTorch(OnCpu):
    """ExecuTorch's XNNPACK backend. XNNPACK has fp16 kernels for some CPUs only, so fp16 is not offered."""

    title: ClassVar[str] = "ExecuTorch"
    distribution: ClassVar[str] = "executorch"
    extra: ClassVar[str] = "executorch"
    converters: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    compiles_by_itself: ClassVar[bool] = True
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "int8")
    slow_compiler: ClassVar[bool] = True

    def start(self) -> None:
        """See `OnCpu.start`."""
        with without_notices():
            from executorch import runtime
        if "XnnpackBackend" not in runtime.Runtime.get().backend_registry.registered_backend_names:
            raise RuntimeError("this build has no XNNPACK")

    def check(self) -> str:
        """See `Target.check`."""
        if runtime_version(self) and not find_spec("torch"):
            raise Unusable("torch is not installed, which ExecuTorch's Python package needs", "Run: pip install torch")
        return super().check().replace(" on CPU", " with XNNPACK on CPU")

    def compile(self, graph: Path, folder: Path, job: Job) -> None:
        """See `Target.compile`. The artifact takes batches up to the job's largest, and images of its size."""
        from targets.executorch.network import make_network
        from targets.plain_graph import make_plain

        self.check_compiler()
        network = make_network(graph.name, make_plain(graph))
        job.tell("exporting", 0.1)
        content = _lower(network, graph.name, job)
        (folder / ARTIFACT).write_bytes(content)
        (folder / DIGEST).write_text(f"{sha256(folder / ARTIFACT)}  {ARTIFACT}\n")
        job.tell("exporting", 1.0)

    def load(self, folder: Path, cache: Path | None = None) -> Session:  # noqa: ARG002 - it has no cache
        """See `Target.load`. A file that differs from what `compile` wrote is refused before ExecuTorch reads it."""
        path = folder / ARTIFACT
        try:
            intact = (folder / DIGEST).read_text().split()[:1] == [sha256(path)]
        except (OSError, ValueError) as error:
            raise ArtifactFailed(f"ExecuTorch can't load {path}: {first_line(error)}") from None
        if not intact:
            raise ArtifactFailed(f"ExecuTorch can't load {path}: it is damaged, its sha256 is another one")
        with without_notices():
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime

            threads = thread_count(self.settings)
            if portable_lib._threadpool_get_thread_count() != threads:
                portable_lib._unsafe_reset_threadpool(threads)  # of the process, before anything runs in it
            try:
                program = Runtime.get().load_program(path.read_bytes())
                method = program.load_method("forward")
            except (RuntimeError, ValueError, OSError) as error:
                raise ArtifactFailed(f"ExecuTorch can't load {path}: {first_line(error)}") from None
        if method is None:
            raise ArtifactFailed(f"ExecuTorch can't load {path}: it has no method `forward`")
        return _Session(program, method)


def _lower(network: Any, name: str, job: Job) -> bytes:
    """A network as ExecuTorch's program."""
    import torch

    largest = max(2, *job.batches)
    images = torch.zeros((2, job.height, job.width, 3), dtype=torch.uint8)
    sizes = ({0: torch.export.Dim("batch", min=1, max=largest)},)
    try:
        with torch.no_grad(), without_notices():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            program = torch.export.export(network, (images,), dynamic_shapes=sizes)
            job.tell("lowering", 0.3)
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    except ArtifactFailed:
        raise
    except Exception as error:  # noqa: BLE001 - its exceptions have no public common base class
        raise ArtifactFailed(f"ExecuTorch can't convert {name}: {first_line(error)}") from None
    content: bytes = bytes(lowered.buffer)
    return content


class _Session:
    def __init__(self, program: Any, method: Any) -> None:
        import torch

        self._torch, self._program, self._method = torch, program, method
        self._most, *self._size = method.metadata.input_tensor_meta(0).sizes()
        self.compute_ms: float | None = None

    def embed(self, images: np.ndarray) -> np.ndarray:
        """See `Session.embed`."""
        if [*images.shape[1:]] != self._size or not 0 < len(images) <= self._most:
            raise ArtifactFailed(
                f"this artifact of ExecuTorch takes 1 to {self._most} images of {'×'.join(map(str, self._size))}, not "
                f"{'×'.join(map(str, images.shape))}"
            )
        given = self._torch.from_numpy(np.require(images, requirements=["C", "W"]))
        try:
            begun = perf_counter()
            (found,) = self._method.execute([given])
            self.compute_ms = 1000 * (perf_counter() - begun)
        except (RuntimeError, ValueError) as error:
            shape = "×".join(map(str, images.shape))
            raise ArtifactFailed(f"ExecuTorch can't run on {images.dtype} {shape}: {first_line(error)}") from None
        return np.array(found.numpy(), np.float32)  # a copy: the next call writes into the same memory
