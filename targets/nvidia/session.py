"""A loaded engine: memory for its largest batch, its own stream, times from CUDA events.

Source: NVIDIA TensorRT documentation, "Performing Inference".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from targets.errors import ArtifactFailed
from targets.nvidia.cuda import Allocations, Gpu, bindings, call, use
from targets.nvidia.jit import Kernels, check_header, compiles_at_load
from targets.nvidia.log import make_log


def open_engine(trt: Any, plan: bytes, dla: int | None = None) -> Any:
    """Deserialise an engine on the current GPU.

    Args:
        dla: number of the DLA that computes its part of an engine.

    Raises:
        ForeignEngine: it is for another GPU, or from another release, and says so.
        ArtifactFailed: the runtime refuses it.
    """
    if compiles_at_load(trt):
        check_header(trt, plan)
    log = make_log(trt)
    log.clear()
    runtime = trt.Runtime(log)
    if dla is not None:
        runtime.DLA_core = dla
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ArtifactFailed(f"{trt.__name__} {trt.__version__} can't load this engine: {log.reason()}")
    return engine


def _tensors(trt: Any, engine: Any) -> tuple[str, str]:
    """Names of input and output.

    Raises:
        ArtifactFailed: it does not have exactly one uint8 input and one float32 output.
    """
    found = {}
    for place in range(engine.num_io_tensors):
        name = engine.get_tensor_name(place)
        found[engine.get_tensor_mode(name), engine.get_tensor_dtype(name)] = name
    wanted = ((trt.TensorIOMode.INPUT, trt.DataType.UINT8), (trt.TensorIOMode.OUTPUT, trt.DataType.FLOAT))
    if engine.num_io_tensors != len(wanted) or set(found) != set(wanted):
        raise ArtifactFailed("an engine must have one uint8 input (images) and one float32 output (embeddings)")
    return found[wanted[0]], found[wanted[1]]


class EngineSession:
    """See `Session`. Accepts any number of images; more than the largest batch are processed in several parts.

    Args:
        trt: the package `tensorrt` or `tensorrt_rtx`.
        engine: a deserialised engine.
        kernels: file that caches what TensorRT-RTX compiles for this GPU.

    Raises:
        ArtifactFailed: the engine is not one of ours, or there is not enough memory for it.
    """

    def __init__(self, trt: Any, engine: Any, gpu: Gpu, kernels: Path | None = None) -> None:
        self.compute_ms: float | None = None
        self._gpu, self._cuda, self._log = gpu, bindings(), make_log(trt)
        self._allocations = Allocations(gpu)
        self._input, output = _tensors(trt, engine)
        self._context = self._make_context(trt, engine, kernels)
        largest: tuple[int, ...] = tuple(engine.get_tensor_profile_shape(self._input, 0)[2])
        self.largest_batch, self._image, self._count = largest[0], largest[1:], 0
        self._set_count(self.largest_batch)
        self._images = self._allocations.pinned(largest, np.uint8)
        self._embeddings = self._allocations.pinned(tuple(self._context.get_tensor_shape(output)), np.float32)
        self._source = self._allocations.device(self._images.nbytes)
        self._result = self._allocations.device(self._embeddings.nbytes)
        self._context.set_tensor_address(self._input, self._source)
        self._context.set_tensor_address(output, self._result)
        self._stream = self._allocations.stream()
        self._begun, self._ended = self._allocations.event(), self._allocations.event()

    def embed(self, images: np.ndarray) -> np.ndarray:
        """See `Session.embed`.

        Raises:
            ArtifactFailed: the engine or CUDA fails, or the session is closed.
        """
        if not self._allocations.open:
            raise ArtifactFailed("this session is closed; load the engine again")
        use(self._gpu)
        embeddings = np.empty((len(images), self._embeddings.shape[1]), np.float32)
        compute_ms = 0.0
        for start in range(0, len(images), self.largest_batch):
            part = slice(start, start + self.largest_batch)
            compute_ms += self._run(images[part], embeddings[part])
        self.compute_ms = compute_ms
        return embeddings

    def close(self) -> None:
        """Free the GPU's memory. Also happens when the session is garbage-collected."""
        self._allocations.close()

    def _make_context(self, trt: Any, engine: Any, kernels: Path | None) -> Any:
        self._log.clear()
        if compiles_at_load(trt):
            compiled = Kernels(trt, engine, kernels)
            context = engine.create_execution_context(runtime_config=compiled.settings)
            self._allocations.at_close(compiled.save)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise ArtifactFailed(f"{trt.__name__} can't run this engine: {self._log.reason()}")
        return context

    def _set_count(self, count: int) -> None:
        """Set the number of images of the next run."""
        if count != self._count:
            self._log.clear()
            if not self._context.set_input_shape(self._input, (count, *self._image)):
                raise ArtifactFailed(f"the engine refuses {count} images: {self._log.reason()}")
            self._count = count

    def _run(self, images: np.ndarray, embeddings: np.ndarray) -> float:
        """Embed one batch; return the engine's time in milliseconds."""
        count, cuda = len(images), self._cuda
        self._set_count(count)
        self._images[:count] = images
        sent, received = self._images[:count].nbytes, self._embeddings[:count].nbytes
        copies, copy = cuda.cudaMemcpyKind, cuda.cudaMemcpyAsync
        call(copy, self._source, self._images.ctypes.data, sent, copies.cudaMemcpyHostToDevice, self._stream)
        call(cuda.cudaEventRecord, self._begun, self._stream)
        self._log.clear()
        if not self._context.execute_async_v3(int(self._stream)):
            raise ArtifactFailed(f"the engine failed on {count} images: {self._log.reason()}")
        call(cuda.cudaEventRecord, self._ended, self._stream)
        call(copy, self._embeddings.ctypes.data, self._result, received, copies.cudaMemcpyDeviceToHost, self._stream)
        call(cuda.cudaStreamSynchronize, self._stream)
        embeddings[:] = self._embeddings[:count]
        return float(call(cuda.cudaEventElapsedTime, self._begun, self._ended))
