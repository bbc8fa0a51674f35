"""A fake CUDA runtime on the host: memory is real and bounds are checked, time and errors are simulated."""

import ctypes
import sys
from enum import IntEnum
from types import SimpleNamespace


class Error(IntEnum):
    """Codes that are returned."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class FakeCuda:
    """The functions of `cuda.bindings.runtime` that `targets.nvidia` calls.

    Attributes:
        live: blocks that are allocated, by address.
        failing: names of functions that are to fail.
    """

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    cudaDeviceAttr = SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor="major", cudaDevAttrComputeCapabilityMinor="minor"
    )

    def __init__(self, sm=87, driver=13000, runtime=13000, count=1):
        self.sm, self.driver, self.runtime, self.count = sm, driver, runtime, count
        self.live, self.failing, self.clock, self.moments, self.handles = {}, set(), 0.0, {}, set()

    def install(self, monkeypatch):
        """Install as the CUDA of this process."""
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", self)
        return self

    def _answer(self, name, *values):
        return (Error.cudaErrorMemoryAllocation, *values) if name in self.failing else (Error.cudaSuccess, *values)

    def cudaGetErrorString(self, _error):
        return Error.cudaSuccess, b"out of memory"

    def cudaDriverGetVersion(self):
        return self._answer("cudaDriverGetVersion", self.driver)

    def cudaRuntimeGetVersion(self):
        return self._answer("cudaRuntimeGetVersion", self.runtime)

    def cudaGetDeviceCount(self):
        return self._answer("cudaGetDeviceCount", self.count)

    def cudaDeviceGetAttribute(self, which, _index):
        return self._answer("cudaDeviceGetAttribute", self.sm // 10 if which == "major" else self.sm % 10)

    def cudaGetDeviceProperties(self, _index):
        return self._answer("cudaGetDeviceProperties", SimpleNamespace(name=b"Fake"))

    def cudaSetDevice(self, _index):
        return self._answer("cudaSetDevice")

    def _allocate(self, name, size):
        block = (ctypes.c_uint8 * size)()
        self.live[ctypes.addressof(block)] = block
        return self._answer(name, ctypes.addressof(block))

    def cudaMalloc(self, size):
        return self._allocate("cudaMalloc", size)

    def cudaMallocHost(self, size):
        return self._allocate("cudaMallocHost", size)

    def cudaFree(self, address):
        del self.live[address]
        return self._answer("cudaFree")

    cudaFreeHost = cudaFree

    def bytes_at(self, address, size):
        """Allocated memory, with a bounds check."""
        block = self.live[address]
        assert size <= len(block)
        return (ctypes.c_uint8 * size).from_buffer(block)

    def cudaMemcpyAsync(self, target, source, size, _kind, _stream):
        ctypes.memmove(self.bytes_at(target, size), self.bytes_at(source, size), size)
        return self._answer("cudaMemcpyAsync")

    def _create(self, name):
        handle = len(self.handles) + 1
        self.handles.add(handle)
        return self._answer(name, handle)

    def cudaStreamCreate(self):
        return self._create("cudaStreamCreate")

    def cudaEventCreate(self):
        return self._create("cudaEventCreate")

    def cudaStreamDestroy(self, handle):
        self.handles.remove(handle)
        return self._answer("cudaStreamDestroy")

    cudaEventDestroy = cudaStreamDestroy

    def cudaEventRecord(self, event, _stream):
        self.moments[event] = self.clock
        return self._answer("cudaEventRecord")

    def cudaStreamSynchronize(self, _stream):
        return self._answer("cudaStreamSynchronize")

    def cudaEventElapsedTime(self, begun, ended):
        return self._answer("cudaEventElapsedTime", self.moments[ended] - self.moments[begun])
