"""A TensorRT session on a GPU simulated by the host: parts, memory, times, errors; and an engine's layers."""

import ctypes
import gc
import json
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from targets.errors import ArtifactFailed
from targets.nvidia.cuda import find_gpu
from targets.nvidia.session import EngineSession, open_engine
from tests.targets.engine_layers import parse_layers
from tests.targets.fake_cuda import FakeCuda

HEIGHT, WIDTH, LARGEST, DIMENSIONS = 4, 6, 3, 5


class Logger:
    """The runtime's base class."""

    Severity = SimpleNamespace(ERROR="error", INTERNAL_ERROR="internal error")


def expected(images):
    """The output of the engine below: an image's first pixels relative to its last."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat[:, :DIMENSIONS] - flat[:, -1:]


class FakeEngine:
    """An engine and its context, of TensorRT's names; it reads and writes where it was told to."""

    def __init__(self, cuda, trt):
        self.cuda, self.trt, self.addresses, self.counts = cuda, trt, {}, []
        self.num_io_tensors, self.output_type = 2, trt.DataType.FLOAT

    def get_tensor_name(self, place):
        return ("embeddings", "images")[place]

    def get_tensor_mode(self, name):
        return {"images": "input", "embeddings": "output"}[name]

    def get_tensor_dtype(self, name):
        return {"images": self.trt.DataType.UINT8, "embeddings": self.output_type}[name]

    def get_tensor_profile_shape(self, _name, _profile):
        return [(count, HEIGHT, WIDTH, 3) for count in (1, 1, LARGEST)]

    def get_tensor_shape(self, _name):
        return (self.count, DIMENSIONS)

    def create_execution_context(self, runtime_config=None):
        self.runtime_config = runtime_config
        return self

    def set_input_shape(self, _name, shape):
        self.count = shape[0]
        return 1 <= shape[0] <= LARGEST and shape[1:] == (HEIGHT, WIDTH, 3)

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, _stream):
        self.counts.append(self.count)
        self.cuda.clock += 2.0 * self.count
        source = self.cuda.bytes_at(self.addresses["images"], self.count * HEIGHT * WIDTH * 3)
        images = np.ctypeslib.as_array(source).reshape(self.count, HEIGHT, WIDTH, 3)
        result = np.ascontiguousarray(expected(images))
        ctypes.memmove(
            self.cuda.bytes_at(self.addresses["embeddings"], result.nbytes), result.ctypes.data, result.nbytes
        )
        return "execute" not in self.cuda.failing


@pytest.fixture
def trt():
    package = ModuleType("tensorrt")
    package.ILogger = Logger  # type: ignore[attr-defined]
    package.DataType = SimpleNamespace(UINT8="uint8", FLOAT="float32", HALF="float16")  # type: ignore[attr-defined]
    package.TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")  # type: ignore[attr-defined]
    return package


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda().install(monkeypatch)


@pytest.fixture
def engine(cuda, trt):
    return FakeEngine(cuda, trt)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (8, HEIGHT, WIDTH, 3), np.uint8)


def test_any_number_of_images_goes_through_in_parts(trt, engine, images):
    session = EngineSession(trt, engine, find_gpu())
    assert session.compute_ms is None
    for count, parts in ((1, [1]), (3, [3]), (8, [3, 3, 2]), (2, [2])):
        engine.counts.clear()
        found = session.embed(images[:count])
        assert found.dtype == np.float32
        assert np.array_equal(found, expected(images[:count]))
        assert engine.counts == parts
        assert session.compute_ms == pytest.approx(2.0 * count)
    first = session.embed(images[:3])
    session.embed(images[3:6])
    assert np.array_equal(first, expected(images[:3]))  # not a view of what the next call overwrites
    assert np.array_equal(session.embed(images[::-2]), expected(images[::-2]))


def test_memory_is_allocated_once_and_freed(trt, cuda, engine, images):
    session = EngineSession(trt, engine, find_gpu())
    taken = {*cuda.live}
    assert sorted(len(block) for block in cuda.live.values()) == [60, 60, 216, 216]
    session.embed(images)
    assert {*cuda.live} == taken
    session.close()
    session.close()
    assert not cuda.live
    assert not cuda.handles
    with pytest.raises(ArtifactFailed, match="session is closed"):
        session.embed(images)

    session = EngineSession(trt, engine, find_gpu())
    del session
    gc.collect()
    assert not cuda.live


@pytest.mark.parametrize("function", ["cudaMemcpyAsync", "cudaEventRecord", "cudaStreamSynchronize", "cudaSetDevice"])
def test_cuda_that_fails_while_embedding_is_quoted(function, trt, cuda, engine, images):
    session = EngineSession(trt, engine, find_gpu())
    cuda.failing.add(function)
    with pytest.raises(ArtifactFailed, match=rf"{function} failed: out of memory \(cudaErrorMemoryAllocation\)"):
        session.embed(images)


@pytest.mark.parametrize("function", ["cudaMalloc", "cudaMallocHost", "cudaStreamCreate", "cudaEventCreate"])
def test_a_gpu_without_enough_memory(function, trt, cuda, engine):
    cuda.failing.add(function)
    with pytest.raises(ArtifactFailed, match=f"{function} failed: out of memory"):
        EngineSession(trt, engine, find_gpu())


def test_an_engine_that_fails_or_is_not_ours(trt, cuda, engine, images):
    session = EngineSession(trt, engine, find_gpu())
    cuda.failing.add("execute")
    with pytest.raises(ArtifactFailed, match="the engine failed on 2 images: no reason given"):
        session.embed(images[:2])
    engine.output_type = trt.DataType.HALF
    with pytest.raises(ArtifactFailed, match="must have one uint8 input"):
        EngineSession(trt, engine, find_gpu())


class FakeKernels:
    """The runtime cache of TensorRT-RTX, and the settings that make it."""

    def __init__(self):
        self.loaded, self.used, self.dynamic_shapes_kernel_specialization_strategy = None, None, None

    def create_runtime_cache(self):
        return self

    def set_runtime_cache(self, cache):
        self.used = cache

    def deserialize(self, content):
        self.loaded = content

    def serialize(self):
        return memoryview(b"compiled kernels")


def test_kernels_that_rtx_compiles_are_kept_for_the_next_process(trt, engine, tmp_path):
    trt.IRuntimeCache = FakeKernels
    trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    kept = tmp_path / "cache" / "kernels"
    for content in (None, b"compiled kernels"):
        kernels = FakeKernels()
        engine.create_runtime_config = lambda kernels=kernels: kernels
        session = EngineSession(trt, engine, find_gpu(), kept)
        assert engine.runtime_config is kernels.used is kernels
        assert kernels.dynamic_shapes_kernel_specialization_strategy == "eager"
        assert kernels.loaded == content
        session.close()
        assert kept.read_bytes() == b"compiled kernels"
    EngineSession(trt, engine, find_gpu()).close()  # without a place to keep them


@pytest.mark.parametrize("dla", [None, 1])
def test_the_dla_is_named_before_its_engine_is_read(dla, trt):
    read = []

    class Runtime:
        DLA_core = 0

        def __init__(self, log):
            self.log = log

        def deserialize_cuda_engine(self, plan):
            read.append((self.DLA_core, plan))
            return "engine"

    trt.Runtime = Runtime
    assert open_engine(trt, b"plan", dla) == "engine"
    assert read == [(dla or 0, b"plan")]


def layer(name, kind, reads, writes):
    return {"Name": name, "LayerType": kind, "Inputs": [reads], "Outputs": [writes], "Weights": {"Type": "Int8"}}


@pytest.mark.parametrize(
    ("int8", "half", "uint8"),
    [
        # in one field, as TensorRT 10 has it, or in two
        [{"Format/Datatype": f"Channel major {kind} format"} for kind in ("Int8", "FP16", "UInt8")],
        [{"Format": "Row major linear", "DataType": kind} for kind in ("Int8", "Half", "UInt8")],
    ],
)
def test_layers_that_compute_in_int8_are_told_from_others(int8, half, uint8):
    tensors = [{"Name": f"int8 in its name {number}", **tensor} for number, tensor in enumerate((int8, half, uint8))]
    int8, half, uint8 = tensors
    layers = [
        layer("cast", "Cast", uint8, half),
        layer("quantize", "Reformat", half, int8),
        layer("conv1", "CaskConvolution", int8, int8),
        layer("conv2", "CaskConvolution", half, half),
        layer("move", "Reformat", int8, int8),
        layer("head", "gemm", int8, half),
    ]
    found = parse_layers(json.dumps({"Layers": layers, "Bindings": ["images", "embeddings"]}))
    assert [one.name for one in found if one.int8] == ["conv1", "head"]
    assert found[2].kind == "CaskConvolution"
