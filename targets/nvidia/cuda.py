"""The CUDA calls that an engine needs: device, memory, a stream, events.

Source: NVIDIA, "CUDA Runtime API", called by NVIDIA's own `cuda-bindings` (the package `cuda-python` brings it).
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets.errors import ArtifactFailed, Unusable, first_line

DRIVER = Path("/sys/module/nvidia/version")
OLDER = "Run: pip install 'cuda-bindings>=12.8,<13'"  # must match the driver's major version, as on JetPack 6


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Attributes:
        index: CUDA's index of it.
        sm: compute capability without the point, 87 for 8.7.
        driver: version of the kernel module, if known.
        cuda: the newest CUDA that the driver supports.
    """

    index: int
    name: str
    sm: int
    driver: str | None
    cuda: str


def bindings() -> Any:
    """The CUDA runtime as a Python module.

    Raises:
        Unusable: it is not installed, or does not start.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except (ImportError, OSError, RuntimeError) as error:
        mend = f"Run: pip install cuda-bindings, or for CUDA 12 (JetPack 6) {OLDER[5:]}"
        raise Unusable(f"Python can't reach CUDA here: {first_line(error)}", mend) from None


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the CUDA runtime; return what follows its error code: nothing, or one value.

    Raises:
        ArtifactFailed: the error code reports a failure.
    """
    error, *values = function(*arguments)
    if error.value:
        raise ArtifactFailed(f"{function.__name__} failed: {_reason(error)}")
    return values[0] if values else None


def _reason(error: Any) -> str:
    _, text = bindings().cudaGetErrorString(error)
    return f"{text.decode()} ({error.name})"


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def find_gpu(index: int = 0) -> Gpu:
    """The CUDA device with this index.

    Raises:
        Unusable: there is none, or its driver and `cuda-bindings` do not match.
    """
    cuda = bindings()
    driver, runtime = call(cuda.cudaDriverGetVersion), call(cuda.cudaRuntimeGetVersion)
    if not driver:
        raise Unusable("no NVIDIA driver is loaded here", "Run this where the GPU is, or install its driver.")
    if driver // 1000 < runtime // 1000:
        raise Unusable(f"cuda-bindings is for CUDA {_dotted(runtime)}, the driver for CUDA {_dotted(driver)}", OLDER)
    error, count = cuda.cudaGetDeviceCount()
    if error.value or not count:
        why = f" ({_reason(error)})" if error.value else ""
        raise Unusable(f"NVIDIA's driver sees no GPU here{why}", "Run this where the GPU is.")
    if index >= count:
        raise Unusable(f"there is no GPU {index} here, only 0 to {count - 1}", "Set another `device:` in the target.")
    kinds = cuda.cudaDeviceAttr
    major = call(cuda.cudaDeviceGetAttribute, kinds.cudaDevAttrComputeCapabilityMajor, index)
    minor = call(cuda.cudaDeviceGetAttribute, kinds.cudaDevAttrComputeCapabilityMinor, index)
    return Gpu(
        index=index,
        name=call(cuda.cudaGetDeviceProperties, index).name.decode(),
        sm=10 * major + minor,
        driver=DRIVER.read_text(encoding="utf-8").strip() if DRIVER.exists() else None,
        cuda=_dotted(driver),
    )


def pci_bus_id(index: int = 0) -> str | None:
    """PCI bus address of the CUDA device with this index, such as `0000:65:00.0`; None if CUDA can't be asked.

    Asks NVIDIA's driver library itself (CUDA Driver API, `cuDeviceGetPCIBusId`), which exists wherever a GPU computes,
    also with runtimes that bring their own CUDA.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(32)
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(device), index)
            or driver.cuDeviceGetPCIBusId(name, len(name), device)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else name.value.decode()


def use(gpu: Gpu) -> None:
    """Make a GPU the current one of this thread."""
    call(bindings().cudaSetDevice, gpu.index)


class Holdings:
    """GPU resources of one session. All are released at `close`, or when it is garbage-collected.

    Raises:
        ArtifactFailed: from any method, with CUDA's reason.
    """

    def __init__(self, gpu: Gpu) -> None:
        use(gpu)
        self._cuda = bindings()
        self._stack = ExitStack()
        self.close = weakref.finalize(self, self._stack.close)  # also runs before the interpreter exits

    @property
    def open(self) -> bool:
        """Whether it is not closed yet."""
        return self.close.alive

    def at_close(self, action: Callable[[], Any]) -> None:
        """Register an action before the memory is freed. It must not refer to the owner of this object."""
        self._stack.callback(action)

    def device(self, size_bytes: int) -> int:
        """Address of new memory on the GPU."""
        address = int(call(self._cuda.cudaMalloc, size_bytes))
        self._stack.callback(self._cuda.cudaFree, address)
        return address

    def pinned(self, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
        """Host memory that the GPU accesses directly. Not to be used after `close`."""
        size_bytes = int(np.prod(shape)) * np.dtype(kind).itemsize
        address = int(call(self._cuda.cudaMallocHost, size_bytes))
        self._stack.callback(self._cuda.cudaFreeHost, address)
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))
        return memory.view(kind).reshape(shape)

    def stream(self) -> Any:
        """A new queue for work on the GPU."""
        stream = call(self._cuda.cudaStreamCreate)
        self._stack.callback(self._cuda.cudaStreamDestroy, stream)
        return stream

    def event(self) -> Any:
        """A marker in a queue that records when it was passed."""
        event = call(self._cuda.cudaEventCreate)
        self._stack.callback(self._cuda.cudaEventDestroy, event)
        return event
